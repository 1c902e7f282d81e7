-- Error budgets. Minutes are whole minutes since 1970 in UTC.

-- What ended and failed, per scope and minute, of the last seven days. By minute first: what is written is always the
-- newest, what is dropped the oldest.
create table budget_bucket (
    minute          integer not null,
    scope           text    not null check (scope <> ''),
    attempts        integer not null check (attempts > 0),
    failures        integer not null check (failures between 0 and attempts),
    primary key (minute, scope)
) strict, without rowid;

create index budget_bucket_by_scope on budget_bucket (scope);

create table budget_standing (
    scope           text    primary key check (scope <> ''),
    grade           text    not null check (grade in ('normal', 'retries_halved', 'one_at_a_time', 'spent')),
    since           integer,
    evidence        text,
    permit_task     text,                                        -- the one attempt of a scope that runs one at a time
    permit_fence    integer,
    permit_at       integer,
    permit_full     integer check (permit_full >= 0),
    forgiven_at     integer,
    forgiven_by     text,
    forgiven_reason text,
    check ((grade = 'normal') = (since is null)),
    check ((since is null) = (evidence is null)),
    check (permit_task is null or grade in ('one_at_a_time', 'spent')),
    check ((permit_task is null) = (permit_fence is null)),
    check ((permit_task is null) = (permit_at is null)),
    check ((permit_task is null) = (permit_full is null)),
    check ((forgiven_at is null) = (forgiven_by is null)),
    check ((forgiven_at is null) = (forgiven_reason is null))
) strict;
