-- What people are told, one row per cause. Times are microseconds since 1970 in UTC.

create table alert (
    cause           text    primary key check (cause <> ''),
    level           integer not null check (level between 1 and 3),
    sentence        text    not null,
    remedy          text    not null,
    first_at        integer not null,
    last_at         integer not null,
    count           integer not null check (count > 0),
    told_at         integer,
    told_count      integer not null check (told_count >= 0),
    told_level      integer check (told_level between 1 and 3),
    escalated       integer not null check (escalated in (0, 1)),
    acknowledged_by text    not null,                            -- empty: nobody
    resolved_at     integer
) strict;
