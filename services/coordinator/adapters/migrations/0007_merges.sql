-- Checks of what merges brought. What they found stands in `evidence`, last, so that lists are read without it.
create table merge_checks (
    id           text primary key,
    repository   text not null check (repository <> ''),
    folder       text not null,
    project      text not null,
    event        text not null check (event in ('post-merge', 'post-commit', 'post-rewrite', 'reconcile', 'request')),
    branch       text not null,
    old          text not null,
    new          text not null,
    topic        text not null,
    background   integer not null check (background in (0, 1)),
    task_id      text not null,         -- '' for what was only reported
    verdict      text check (verdict in ('good', 'bad', 'flaky', 'pre_existing', 'inconclusive', 'nothing_to_check')),
    action       text check (action in ('none', 'rolled_back', 'proposed', 'reported', 'refused', 'merged')),
    sentence     text not null,
    only_report  text not null,
    created_at   integer not null,
    confirmed_at integer,
    ended_at     integer,
    undone_at    integer,
    told         integer not null check (told in (0, 1)),
    evidence     text not null,

    check ((ended_at is null) = (verdict is null) and (ended_at is null) = (action is null)),
    check (ended_at is not null or (task_id <> '' and evidence = '' and told = 0)),
    check (action is not 'rolled_back' or verdict is 'bad'),
    check (undone_at is null or action is 'rolled_back')
) strict, without rowid;

create index merge_checks_of_repository on merge_checks (repository, id);
create index merge_checks_of_project on merge_checks (project, id) where project <> '';
create index merge_checks_old on merge_checks (repository, old) where old <> '';
create index merge_checks_new on merge_checks (repository, new) where new <> '';
create unique index merge_checks_of_task on merge_checks (task_id) where task_id <> '';
create index merge_checks_open on merge_checks (id) where ended_at is null;
create index merge_checks_untold on merge_checks (id) where told = 0 and ended_at is not null;
create index merge_checks_ended on merge_checks (ended_at) where ended_at is not null;
create index merge_checks_rolled_back on merge_checks (repository, ended_at) where action = 'rolled_back';
