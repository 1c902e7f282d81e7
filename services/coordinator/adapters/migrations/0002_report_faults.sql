-- Why the report of a task's newest attempt was not taken: beside its output, for it comes, goes and is shown with it.
alter table outputs add column report_fault text not null default '';
