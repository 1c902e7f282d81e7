-- How each schedule stands. Every due time until `after`, and that itself, has been dealt with; it moves in the
-- transaction that adds the task of the time it moves to.
create table schedules (
    agent          text not null check (agent <> ''),
    project        text not null,
    timetable      text not null,
    after          integer not null,
    last_due       integer,
    last_fired_at  integer,
    last_task      text not null,
    missed         integer not null check (missed >= 0),
    passed         integer not null check (passed >= 0),
    passed_because text not null,
    paused_by      text not null,
    paused_at      integer,
    paused_reason  text not null,
    resumed        integer not null check (resumed in (0, 1)),
    primary key (agent, project),

    check ((last_due is null) = (last_fired_at is null)),
    check ((paused_by = '') = (paused_at is null))
) strict, without rowid;
