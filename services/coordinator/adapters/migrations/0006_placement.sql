-- Tasks that ask for labels wait in queues of their own, one for each set of labels, so that those which no runner has
-- stand in nobody's way.
drop index tasks_ready;
create index tasks_ready on tasks (agent, labels, rank, ready_at) where state = 'queued' and holder = '';

-- The same labels are the same text: keys in order, no spaces.
update tasks set labels = (
    select json_group_object(key, value) from (select key, value from json_each(tasks.labels) order by key)
)
where labels is not null
    and (state = 'queued' or state = 'running' or state = 'scheduled' or state = 'blocked' or state = 'paused');

-- The last hundred known memory peaks of an agent's attempts, whole MiB with a space between, oldest first.
alter table histories add column peaks text not null default '';
