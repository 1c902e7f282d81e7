-- How many processes of a task's newest attempt outlived its first process, and were ended: shown with its output.
alter table outputs add column stragglers integer not null default 0 check (stragglers >= 0);
