-- Breakers that many agents share count whose failures they are: names with a space between, newest first.
alter table breaker add column culprits text not null default '';

-- When an agent was last seen at work in a project ('': in the workspace itself), to within an hour.
create table roster (
    agent           text    not null,
    project         text    not null,
    seen_at         integer not null,
    primary key (agent, project)
) strict, without rowid;
