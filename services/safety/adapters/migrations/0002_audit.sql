-- The audit log: one row per privileged act, chained by digests and sealed. Never updated, never deleted.

create table audit (
    number          integer primary key check (number > 0),
    at              integer not null,
    actor           text    not null,
    actor_id        text    not null,                            -- of the token; empty: safety itself
    source          text    not null,
    act             text    not null check (act <> ''),
    target          text    not null,
    value_before    text    not null,
    value_after     text    not null,
    reason          text    not null,
    told            text    not null,                            -- id under which another service told it, or empty
    previous        text    not null,
    digest          text    not null,
    seal            text    not null
) strict;

create unique index audit_by_told on audit (told) where told <> '';
create index audit_by_time on audit (at);
