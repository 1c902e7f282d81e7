-- Times are microseconds since 1970 UTC, durations microseconds. "" stands for nobody and nothing in texts that
-- are compared; NULL for a figure that is not known.

create table tasks (
    id               text primary key,
    agent            text not null check (agent <> ''),
    state            text not null check (state in ('scheduled', 'blocked', 'queued', 'running', 'paused',
                         'needs_decision', 'succeeded', 'failed', 'cancelled', 'dead')),
    created_at       integer not null,
    ready_at         integer not null,
    fence            integer not null check (fence > 0),
    project          text not null,
    params           text,                  -- NULL: in long_params, so that no move copies it
    rank             integer not null check (rank between 0 and 9),    -- 9 - priority
    reason           text not null,
    not_before       integer,
    depends_on       text,                  -- ids with a space between; NULL: none
    effects          text not null check (effects in ('none', 'idempotent', 'once')),
    retries          integer not null check (retries >= 0),
    timeout          integer check (timeout > 0),
    cancel_requested integer not null check (cancel_requested in (0, 1)),
    attempt          integer not null check (attempt >= 0),
    failures         integer not null check (failures >= 0),
    timeouts         integer not null check (timeouts >= 0),
    deferrals        integer not null check (deferrals >= 0),
    losses           integer not null check (losses >= 0),
    holder           text not null,
    runner           text not null,
    started_at       integer,
    finished_at      integer,
    exit_code        integer,
    signal           integer,
    duration         integer,
    cpu              integer,
    memory_peak      integer,
    output_bytes     integer not null,
    output_cut       integer not null check (output_cut in (0, 1)),
    limits           text,                  -- JSON [name, value, enforcement, name, …]; NULL: none
    retry_of         text not null,
    parent           text not null,
    submitted_by     text not null,
    clearing         text not null,
    labels           text,                  -- JSON object; NULL: none
    change           integer not null check (change > 0),

    check (holder = '' or state in ('queued', 'running', 'paused')),
    check (state not in ('running', 'paused') or (holder <> '' and attempt >= 1 and started_at is not null)),
    check ((finished_at is not null) = (state in ('needs_decision', 'succeeded', 'failed', 'cancelled', 'dead'))),
    check (state <> 'scheduled' or not_before is not null),
    check (state <> 'blocked' or depends_on is not null),
    check (state <> 'succeeded' or exit_code is 0 or reason <> '')
) strict, without rowid;

-- Every index is moved by some event of every task, so each must earn its keep; the primary key closes each of them.
create index tasks_listed on tasks (agent, state);
create unique index tasks_changed on tasks (change);
create index tasks_ready on tasks (agent, rank, ready_at) where state = 'queued' and holder = '';
create index tasks_held on tasks (id) where holder <> '';
create index tasks_due on tasks (ready_at) where state = 'scheduled';
create index tasks_expiring on tasks (finished_at) where state in ('succeeded', 'failed', 'cancelled');
create index tasks_kept on tasks (finished_at) where state in ('needs_decision', 'dead');
create index tasks_of_project on tasks (project) where project <> '';
create index tasks_cleared on tasks (clearing) where clearing <> '';

create table long_params (
    task_id text primary key,
    params  text not null
) strict;

create table dependencies (
    parent text not null,
    child  text not null,
    primary key (parent, child)
) strict, without rowid;

create table outputs (
    task_id text primary key,
    output  text not null
) strict;

-- Kept by the writer, once per transaction, so that no figure is ever counted over the tasks.
create table counts (
    agent text not null,
    state text not null,
    tasks integer not null check (tasks >= 0),
    primary key (agent, state)
) strict, without rowid;

create table latest_change (
    singleton integer primary key check (singleton = 1),
    position  integer not null check (position >= 0)
) strict;
insert into latest_change values (1, 0);

create table idempotency_keys (
    token_id text not null,
    key      text not null,
    digest   text not null,
    task_ids text not null,
    at       integer not null,
    primary key (token_id, key)
) strict, without rowid;
create index idempotency_keys_aged on idempotency_keys (at);

create table outbox (
    sequence      integer primary key autoincrement,
    task_id       text not null,
    fence         integer not null,
    agent         text not null,
    project       text not null,
    uses          text not null,    -- JSON array
    failure_class text not null,
    counted       integer not null check (counted in (0, 1)),
    detail        text not null,
    finished_at   integer not null
) strict;

create table reports (
    type         text not null,
    project      text not null,
    summary      text not null,
    task_id      text not null,
    agent        text not null,
    published_at integer not null,
    data         text not null,     -- last: the others are read without it
    primary key (type, project)
) strict;

create table histories (
    agent        text primary key,
    ends         text not null,
    last_task_id text not null
) strict, without rowid;

create table refusals (
    sequence   integer primary key autoincrement,
    task_id    text not null,
    fence      integer not null,
    held_fence integer not null,
    runner     text not null,
    what       text not null,
    at         integer not null
) strict;
create index refusals_of_task on refusals (task_id);

create table facts (
    name  text primary key,
    value text not null
) strict, without rowid;
