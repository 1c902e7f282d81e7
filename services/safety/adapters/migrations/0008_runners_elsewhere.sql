-- The one runner that may use a token, or join with it; empty: it is not bound. And when an invitation was used.

alter table token add column runner text not null default '' check (length(runner) <= 64);
alter table token add column used_at integer;
