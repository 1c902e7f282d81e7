-- The spend ledger. Money is whole micro-dollars, times are microseconds since 1970 in UTC.

create table spend_state (
    only_row        integer primary key check (only_row = 1),
    secret          blob    not null check (length(secret) in (0, 32)), -- makes the attempts' credentials
    latest          integer                                             -- the last moment that was booked
) strict;

insert into spend_state values (1, x'', null);

create table spend_cap (
    scope           text    not null check (scope <> ''),
    per             text    not null check (per in ('total', 'day', 'month')),
    micros          integer check (micros >= 0),                        -- null: no cap
    actor           text    not null,
    reason          text    not null,
    at              integer not null,
    primary key (scope, per)
) strict, without rowid;

create table spend_balance (
    subject         text    not null check (subject <> ''),
    "window"        text    not null,                                   -- '', '2026-11' or '2026-11-23'
    spent           integer not null check (spent >= 0),
    reserved        integer not null check (reserved >= 0),
    used_at         integer not null,
    primary key (subject, "window")
) strict, without rowid;

-- Who may spend: one row per attempt, from its admission until nothing of it is open.
create table spend_grant (
    task            text    not null,
    fence           integer not null,
    root            text    not null,
    agent           text    not null,
    providers       text    not null check (providers <> ''),           -- separated by blanks
    token_id        text    not null unique,
    digest          text    not null check (length(digest) = 64),
    granted_at      integer not null,
    ended_at        integer,
    block_subject   text,                                               -- its last call was refused for want of room
    block_window    text,
    block_micros    integer,
    primary key (task, fence),
    check ((block_subject is null) = (block_window is null)),
    check ((block_subject is null) = (block_micros is null)),
    check (block_subject is null or ended_at is null)
) strict, without rowid;

create table spend_reservation (
    task            text    not null,
    fence           integer not null,
    key             text    not null check (length(key) between 1 and 200),
    root            text    not null,
    agent           text    not null,
    provider        text    not null,
    model           text    not null,
    asked_input     integer not null check (asked_input >= 0),
    asked_output    integer not null check (asked_output >= 0),
    input_tokens    integer not null check (input_tokens >= 0),
    output_tokens   integer not null check (output_tokens >= 0),
    price_from      text    not null,                                   -- the day from which its price holds
    price_input     integer not null check (price_input >= 0),
    price_output    integer not null check (price_output >= 0),
    price_call      integer not null check (price_call >= 0),
    micros          integer not null check (micros >= 0),
    made_at         integer not null,
    stage           text    not null check (stage in ('held', 'settled', 'released', 'charged')),
    actual_micros   integer check (actual_micros >= 0),
    ended_at        integer,
    primary key (task, fence, key),
    check ((stage = 'held') = (actual_micros is null)),
    check ((stage = 'held') = (ended_at is null))
) strict, without rowid;

-- The task with which a task's family began, where that is another.
create table spend_family (
    task            text    primary key,
    root            text    not null,
    learned_at      integer not null
) strict, without rowid;
