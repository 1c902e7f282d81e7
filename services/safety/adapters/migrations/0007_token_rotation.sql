-- The token that a successor replaces once it is confirmed; empty: it replaces none, or it was confirmed.

alter table token add column succeeds text not null default '';
