-- Times are microseconds since 1970 UTC, durations microseconds. "" stands for nobody and nothing in texts that
-- are compared; NULL for a figure that is not known.

-- No `in` of more than two: SQLite would build a table of the list for every row that is written.
create table tasks (
    id               text primary key,
    agent            text not null check (agent <> ''),
    state            text not null check (state = 'queued' or state = 'succeeded' or state = 'failed' or
                         state = 'running' or state = 'scheduled' or state = 'blocked' or state = 'paused' or
                         state = 'needs_decision' or state = 'cancelled' or state = 'dead'),
    created_at       integer not null,
    ready_at         integer not null,
    fence            integer not null check (fence > 0),
    project          text not null,
    params           text,                  -- NULL: in long_params, so that no move copies it
    rank             integer not null check (rank between 0 and 9),    -- 9 - priority
    reason           text not null,
    not_before       integer,
    depends_on       text,                  -- ids with a space between; NULL: none
    effects          text not null check (effects = 'once' or effects = 'none' or effects = 'idempotent'),
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
    limits           text,                  -- JSON [name, value, enforcement, name, …]; NULL: none, or in a set
    limit_set        integer,               -- of limit_sets; NULL: none
    retry_of         text not null,
    parent           text not null,
    submitted_by     text not null,
    clearing         text not null,
    labels           text,                  -- JSON object; NULL: none
    change           integer not null check (change > 0),

    check (holder = '' or (state = 'queued' or state = 'running' or state = 'paused')),
    check (state not in ('running', 'paused') or (holder <> '' and attempt >= 1 and started_at is not null)),
    check ((finished_at is not null) = (state = 'succeeded' or state = 'failed' or state = 'cancelled' or
        state = 'needs_decision' or state = 'dead')),
    check (state <> 'scheduled' or not_before is not null),
    check (state <> 'blocked' or depends_on is not null),
    check (state <> 'succeeded' or exit_code is 0 or reason <> '')
) strict, without rowid;

-- Every index is moved by some event of every task, so each must earn its keep; the primary key closes each of them.
-- Those that come and go are apart from those that stay, or each move would write out their neighbours, too.
create index tasks_listed_open on tasks (agent, state)
    where (state = 'queued' or state = 'running' or state = 'scheduled' or state = 'blocked' or state = 'paused');
create index tasks_listed_finished on tasks (agent, state)
    where (state = 'succeeded' or state = 'failed' or state = 'cancelled' or state = 'needs_decision' or state = 'dead');
create unique index tasks_changed on tasks (change);
create index tasks_ready on tasks (agent, rank, ready_at) where state = 'queued' and holder = '';
create index tasks_held on tasks (id) where holder <> '';
create index tasks_due on tasks (ready_at) where state = 'scheduled';
create index tasks_expiring on tasks (finished_at)
    where (state = 'succeeded' or state = 'failed' or state = 'cancelled');
create index tasks_kept on tasks (finished_at) where (state = 'needs_decision' or state = 'dead');
create index tasks_of_project on tasks (project) where project <> '';
create index tasks_cleared on tasks (clearing) where clearing <> '';

create table long_params (
    task_id text primary key,
    params  text not null
) strict, without rowid;

-- The attempts of one agent have the same limits, a third of a row. At most 1,000: what comes later stands in its row.
create table limit_sets (
    id     integer primary key,
    limits text not null unique
) strict;

create table dependencies (
    parent text not null,
    child  text not null,
    primary key (parent, child)
) strict, without rowid;

create table outputs (
    task_id text primary key,
    output  text not null
) strict, without rowid;

-- How many tasks an agent has in each state, kept by the writer once per transaction, so that no figure is ever
-- counted over the tasks. Of agent '': the position of the latest change and the last sequence of the outbox; they
-- stand here because every commit writes this page anyway.
create table figures (
    agent  text not null,
    name   text not null,
    number integer not null check (number >= 0),
    primary key (agent, name)
) strict, without rowid;
insert into figures values ('', 'position', 0), ('', 'posted', 0);

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
    sequence      integer primary key,
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
