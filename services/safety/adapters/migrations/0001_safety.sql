-- Safety's state. Times are microseconds since 1970 in UTC, lengths of time microseconds.

create table state (
    only_row        integer primary key check (only_row = 1),
    revision        integer not null check (revision >= 0),      -- grows by one with each commit
    epoch           integer not null check (epoch >= 0),         -- grows with each change of mode or breaker
    revocation      integer not null check (revocation >= 0),    -- grows with each revoked token
    mode            text    not null check (mode in ('NORMAL', 'GUARDED', 'DRAIN', 'FROZEN', 'STOPPED')),
    mode_reason     text    not null,
    mode_actor      text    not null,                            -- name of the token; empty: as it came
    mode_since      integer not null
) strict;

insert into state values (1, 0, 0, 0, 'NORMAL', '', '', 0);

create table breaker (
    scope           text    primary key check (scope <> ''),
    state           text    not null check (state in ('closed', 'open', 'half_open', 'forced_open', 'forced_closed')),
    epoch           integer not null check (epoch >= 0),
    consecutive     integer not null check (consecutive >= 0),
    recent          integer not null check (recent >= 0),        -- the last counted ends as bits, 1 = failed
    attempts        integer not null check (attempts between 0 and 62),
    reason          text    not null,
    actor           text,                                        -- who forced it
    trips           integer check (trips >= 0),                  -- earlier trips in a row
    successes       integer check (successes >= 0),              -- probes that went well
    until_at        integer,                                     -- next probe, or end of the force
    until_full      integer check (until_full >= 0),
    permit_task     text,
    permit_fence    integer,
    permit_at       integer,
    permit_full     integer check (permit_full >= 0),
    check ((actor is not null) = (state in ('forced_open', 'forced_closed'))),
    check ((trips is not null) = (state in ('open', 'half_open'))),
    check ((successes is not null) = (state = 'half_open')),
    check ((until_at is not null) = (state in ('open', 'forced_closed'))),
    check ((until_at is null) = (until_full is null)),
    check (permit_task is null or state = 'half_open'),
    check ((permit_task is null) = (permit_fence is null)),
    check ((permit_task is null) = (permit_at is null)),
    check ((permit_task is null) = (permit_full is null))
) strict;

create table breaker_change (
    number          integer primary key,
    scope           text    not null,
    at              integer not null,
    state_before    text    not null,
    state_after     text    not null,
    epoch           integer not null,
    reason          text    not null,
    actor           text    not null                             -- empty: by itself
) strict;

create index breaker_change_by_scope on breaker_change (scope, number desc);

-- Ends of attempts that were taken in, so that one that is told again counts once. The oldest are dropped.
create table outcome (
    number          integer primary key,
    task            text    not null,
    fence           integer not null
) strict;

create table token (
    id              text    primary key check (length(id) between 1 and 64),
    name            text    not null check (length(name) between 1 and 64),
    digest          text    not null unique check (length(digest) = 64),
    scopes          text    not null check (length(scopes) > 0), -- separated by blanks, in order
    created_at      integer not null,
    expires_at      integer,
    revoked_at      integer,
    last_used_at    integer
) strict;
