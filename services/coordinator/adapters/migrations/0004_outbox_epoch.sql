-- Safety's epoch at the admission of the attempt that ended, by which a breaker tells an old result from a new one.
alter table outbox add column epoch integer not null default 0;
