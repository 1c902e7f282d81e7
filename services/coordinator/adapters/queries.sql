-- Every statement of the SQLite store, by name. {task} stands for the columns that make a task, {check} for a check's.

-- name: insert_task
insert into tasks (
    id, agent, state, created_at, ready_at, fence, project, params, rank, reason, not_before, depends_on, effects,
    retries, timeout, cancel_requested, attempt, failures, timeouts, deferrals, losses, holder, runner, started_at,
    finished_at, exit_code, signal, duration, cpu, memory_peak, output_bytes, output_cut, limits, limit_set, retry_of,
    parent, submitted_by, clearing, labels, change
) values (
    ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?
)

-- Tasks that are alike but for their ids, in one step: a third of the time, and the interpreter's lock is given away
-- once and not for each of them.
-- name: insert_alike
insert into tasks (
    id, agent, state, created_at, ready_at, fence, project, params, rank, reason, not_before, depends_on, effects,
    retries, timeout, cancel_requested, attempt, failures, timeouts, deferrals, losses, holder, runner, started_at,
    finished_at, exit_code, signal, duration, cpu, memory_peak, output_bytes, output_cut, limits, limit_set, retry_of,
    parent, submitted_by, clearing, labels, change
)
select
    value, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24,
    ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33, ?34, ?35, ?36, ?37, ?38, ?39, ?40 + key
from json_each(?1)

-- name: insert_long_params
insert into long_params (task_id, params) values (?, ?)

-- name: insert_dependency
insert into dependencies (parent, child) values (?, ?)

-- name: task
select {task} from tasks where id = ?

-- name: tasks
select {task} from tasks where id in (select value from json_each(?))

-- name: tasks_upwards
select {task} from tasks where id > ? order by id limit ?

-- name: tasks_downwards
select {task} from tasks where id < ? order by id desc limit ?

-- The list of states is what the index says: without it SQLite cannot know that the index has them all.
-- name: open_ids_upwards
select id from tasks
where agent = ? and state = ?
    and (state = 'queued' or state = 'running' or state = 'scheduled' or state = 'blocked' or state = 'paused')
    and id > ?
order by id limit ?

-- name: open_ids_downwards
select id from tasks
where agent = ? and state = ?
    and (state = 'queued' or state = 'running' or state = 'scheduled' or state = 'blocked' or state = 'paused')
    and id < ?
order by id desc limit ?

-- name: finished_ids_upwards
select id from tasks
where agent = ? and state = ?
    and (state = 'succeeded' or state = 'failed' or state = 'cancelled' or state = 'needs_decision' or state = 'dead')
    and id > ?
order by id limit ?

-- name: finished_ids_downwards
select id from tasks
where agent = ? and state = ?
    and (state = 'succeeded' or state = 'failed' or state = 'cancelled' or state = 'needs_decision' or state = 'dead')
    and id < ?
order by id desc limit ?

-- name: project_ids_upwards
select id from tasks
where project = ?1 and project <> '' and id > ?2 and ?3 in ('', agent) and state in (select value from json_each(?4))
order by id limit ?5

-- name: project_ids_downwards
select id from tasks
where project = ?1 and project <> '' and id < ?2 and ?3 in ('', agent) and state in (select value from json_each(?4))
order by id desc limit ?5

-- name: ready
select rank, ready_at, id from tasks
where agent = ? and state = 'queued' and holder = '' and labels is null
order by rank, ready_at, id limit ?

-- name: ready_after
select rank, ready_at, id from tasks
where agent = ? and state = 'queued' and holder = '' and labels is null and (rank, ready_at, id) > (?, ?, ?)
order by rank, ready_at, id limit ?

-- name: ready_labelled
select rank, ready_at, id from tasks
where agent = ? and labels = ? and state = 'queued' and holder = ''
order by rank, ready_at, id limit ?

-- name: ready_labelled_after
select rank, ready_at, id from tasks
where agent = ? and labels = ? and state = 'queued' and holder = ''
    and (rank, ready_at, id) > (?, ?, ?)
order by rank, ready_at, id limit ?

-- name: next_ready_labels
select labels from tasks
where agent = ? and labels > ? and state = 'queued' and holder = ''
order by labels limit 1

-- name: due
select {task} from tasks where state = 'scheduled' and ready_at <= ? order by ready_at, id limit ?

-- name: next_due
select min(ready_at) from tasks where state = 'scheduled'

-- name: held
select {task} from tasks where holder <> '' and id > ? order by id limit ?

-- name: blocked_on
select {task} from tasks
where state = 'blocked'
    and id in (select child from dependencies where parent in (select value from json_each(?)))
order by id

-- name: changes
select {task} from tasks where change > ? order by change limit ?

-- name: in_clearing
select {task} from tasks where clearing = ? and clearing <> '' and id > ? order by id limit ?

-- name: counts
select agent, name, number from figures where agent <> '' and number > 0

-- name: add_to_counts
insert into figures (agent, name, number) values (?1, ?2, max(?3, 0))
on conflict (agent, name) do update set number = number + ?3

-- name: position
select number from figures where agent = '' and name = 'position'

-- name: set_position
update figures set number = ? where agent = '' and name = 'position'

-- name: limit_set
select id from limit_sets where limits = ?

-- name: add_limit_set
insert into limit_sets (limits) select ?1 where (select coalesce(max(id), 0) from limit_sets) < ?2 returning id

-- name: put_output
insert into outputs (task_id, output, report_fault, stragglers) values (?, ?, ?, ?)
on conflict (task_id) do update
set output = excluded.output, report_fault = excluded.report_fault, stragglers = excluded.stragglers

-- name: delete_output
delete from outputs where task_id = ?

-- name: output
select output from outputs where task_id = ?

-- name: report_fault
select report_fault from outputs where task_id = ?

-- name: stragglers
select stragglers from outputs where task_id = ?

-- name: accepted
select digest, task_ids, at from idempotency_keys where token_id = ? and key = ?

-- name: remember
insert into idempotency_keys (token_id, key, digest, task_ids, at) values (?, ?, ?, ?, ?)
on conflict (token_id, key) do update set digest = excluded.digest, task_ids = excluded.task_ids, at = excluded.at

-- name: take_sequences
update figures set number = number + ? where agent = '' and name = 'posted' returning number

-- name: post
insert into outbox (sequence, task_id, fence, agent, project, uses, failure_class, counted, detail, finished_at, epoch)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: outbox
select sequence, task_id, fence, agent, project, uses, failure_class, counted, detail, finished_at, epoch
from outbox order by sequence limit ?

-- name: acknowledge
delete from outbox where sequence <= ?

-- name: note_act
insert into acts (at, actor, actor_id, source, act, target, before, after, reason) values (?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: acts
select at, actor, actor_id, source, act, target, before, after, reason, number from acts order by number limit ?

-- name: forget_acts
delete from acts where number <= ?

-- name: note_failed_attempt
-- Numbers come in a row and go from the front: two ends say how many there are, whatever they hold.
insert into failed_attempts (name, text)
select ?1, ?2
where coalesce((select max(number) from failed_attempts) - (select min(number) from failed_attempts) + 1, 0) < ?3

-- name: failed_attempts
select number, name, text from failed_attempts order by number limit ?

-- name: forget_failed_attempts
delete from failed_attempts where number <= ?

-- name: publish
insert into reports (type, project, summary, task_id, agent, published_at, data) values (?, ?, ?, ?, ?, ?, ?)
on conflict (type, project) do update set
    summary = excluded.summary, task_id = excluded.task_id, agent = excluded.agent,
    published_at = excluded.published_at, data = excluded.data
where excluded.published_at >= published_at

-- name: reports
select type, project, summary, data, task_id, agent, published_at from reports
where ?1 in ('', type) and ?2 in ('', project)
order by published_at desc, type, project

-- name: report
select type, project, summary, data, task_id, agent, published_at from reports
where agent = ? and project = ?
order by published_at desc, type limit 1

-- name: histories
select agent, ends, last_task_id, peaks from histories

-- name: record_history
insert into histories (agent, ends, last_task_id, peaks) values (?, ?, ?, ?)
on conflict (agent) do update set
    ends = excluded.ends, last_task_id = excluded.last_task_id, peaks = excluded.peaks

-- name: refuse
insert into refusals (task_id, fence, held_fence, runner, what, at) values (?, ?, ?, ?, ?, ?)

-- name: forget_refusals
delete from refusals where sequence <= (select max(sequence) from refusals) - ?

-- name: refusals
select task_id, fence, held_fence, runner, what, at from refusals where task_id = ? order by sequence

-- name: fact
select value from facts where name = ?

-- name: set_fact
insert into facts (name, value) values (?, ?) on conflict (name) do update set value = excluded.value

-- name: delete_fact
delete from facts where name = ?

-- name: expired
select id, agent, state, depends_on from tasks as old
where (state = 'succeeded' or state = 'failed' or state = 'cancelled') and finished_at < ?
    and not exists (
        select 1 from dependencies join tasks as child on child.id = dependencies.child
        where dependencies.parent = old.id
            and child.state not in ('succeeded', 'failed', 'cancelled', 'dead')
    )
order by finished_at limit ?

-- name: expired_kept
select id, agent, state, depends_on from tasks as old
where (state = 'needs_decision' or state = 'dead') and finished_at < ?
    and not exists (
        select 1 from dependencies join tasks as child on child.id = dependencies.child
        where dependencies.parent = old.id
            and child.state not in ('succeeded', 'failed', 'cancelled', 'dead')
    )
order by finished_at limit ?

-- name: delete_task
delete from tasks where id = ?

-- name: delete_long_params
delete from long_params where task_id = ?

-- name: delete_dependencies_on
delete from dependencies where parent = ?

-- name: delete_dependency
delete from dependencies where parent = ? and child = ?

-- name: forget_keys
delete from idempotency_keys where (token_id, key) in (
    select token_id, key from idempotency_keys where at < ? order by at limit ?
)

-- name: pages
select page_count, freelist_count, page_size from pragma_page_count, pragma_freelist_count, pragma_page_size

-- name: miscounted
select agent, state, sum(tasks) from (
    select agent, state, count(*) as tasks from tasks group by agent, state
    union all
    select agent, name, -number from figures where agent <> ''
)
group by agent, state having sum(tasks) <> 0

-- name: beyond_position
select count(*) from tasks where change > (select number from figures where agent = '' and name = 'position')

-- name: orphans
select count(*) from outputs where task_id not in (select id from tasks)

-- name: insert_check
insert into merge_checks (
    id, repository, folder, project, event, branch, old, new, topic, background, task_id, verdict, action, sentence,
    only_report, created_at, confirmed_at, ended_at, undone_at, told, evidence
) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: save_check
update merge_checks set
    branch = ?, old = ?, new = ?, verdict = ?, action = ?, sentence = ?, only_report = ?, confirmed_at = ?,
    ended_at = ?, undone_at = ?, told = ?, evidence = ?
where id = ? and (ended_at is null or ended_at is ?)
returning 1

-- name: check
select {check} from merge_checks where id = ?

-- name: check_of_task
select {check} from merge_checks where task_id = ? and task_id <> ''

-- name: open_checks
select {check} from merge_checks where ended_at is null order by id desc

-- name: checks_to
select {check} from merge_checks where repository = ? and new = ? and new <> '' order by id desc limit ?

-- name: checks_from
select {check} from merge_checks where repository = ? and old = ? and old <> '' order by id desc limit ?

-- name: checks_page
select {check_without_evidence} from merge_checks where id < ? order by id desc limit ?

-- name: checks_page_of_project
select {check_without_evidence} from merge_checks where project = ? and project <> '' and id < ?
order by id desc limit ?

-- name: checks_page_of_repository
select {check_without_evidence} from merge_checks where repository = ? and ? in ('', project) and id < ?
order by id desc limit ?

-- name: rollbacks_since
select ended_at from merge_checks where action = 'rolled_back' and repository = ? and ended_at >= ?
order by ended_at desc

-- name: untold_checks
select {check} from merge_checks where told = 0 and ended_at is not null order by id limit ?

-- name: prune_checks
delete from merge_checks where id in (
    select id from merge_checks where ended_at is not null and ended_at < ? order by ended_at limit ?
)
returning 1

-- name: schedules
select agent, project, timetable, after, last_due, last_fired_at, last_task, missed, passed, passed_because, paused_by,
    paused_at, paused_reason, resumed
from schedules

-- name: schedule
select agent, project, timetable, after, last_due, last_fired_at, last_task, missed, passed, passed_because, paused_by,
    paused_at, paused_reason, resumed
from schedules where agent = ? and project = ?

-- name: put_schedule
insert or replace into schedules (
    agent, project, timetable, after, last_due, last_fired_at, last_task, missed, passed, passed_because, paused_by,
    paused_at, paused_reason, resumed
) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: forget_schedule
delete from schedules where agent = ? and project = ?
