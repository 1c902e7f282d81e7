"""Tasks: submit, list, look at one, cancel, retry, decide."""

from __future__ import annotations

from flask import Response

from clients.coordinator_values import Decision
from gateway import convert
from gateway.answering import KEY_PARAMETER, area, idempotency_key, reply
from gateway.schemas import answers
from gateway.schemas.documented import answers as documented
from gateway.schemas.requests import Decide, ListQuery, Submission, TaskPath, Why
from gateway.state import caller

routes = area("tasks")


@routes.get("/tasks/queue", responses=documented({200: answers.TaskPage}))
def list_tasks(query: ListQuery) -> Response:
    """Lists tasks, newest first, a page at a time."""
    page = caller().coordinator(
        lambda coordinator, left: coordinator.list_tasks(
            convert.filter_of(query), limit=query.limit, cursor=query.cursor, deadline=left
        )
    )
    return reply(convert.page(page))


@routes.post(
    "/tasks/queue",
    responses=documented({200: answers.Accepted, 201: answers.Accepted}, 404, 409, 415),
    openapi_extensions={"parameters": [KEY_PARAMETER]},
)
def submit_tasks(body: Submission) -> Response:
    """Accepts one or many tasks, all or none; what is answered is durable.

    200 in place of 201: the idempotency key was known, and these tasks were accepted earlier.
    """
    specs, several = convert.specs_of(body)
    key = idempotency_key()
    accepted = caller().coordinator(
        lambda coordinator, left: coordinator.submit(specs, idempotency_key=key, deadline=left)
    )
    tasks = [convert.task(task) for task in accepted.tasks]
    status = 200 if accepted.replayed else 201
    location = f"/tasks/{tasks[0].id}" if len(tasks) == 1 else "/tasks/queue"
    shape = answers.ManyTasks(tasks=tasks) if several else answers.OneTask(task=tasks[0])
    return reply(answers.Accepted(shape), status, Location=location)


@routes.get("/tasks/<task_id>", responses=documented({200: answers.OneTask}, 404))
def get_task(path: TaskPath) -> Response:
    """One task, with the tail of its output."""
    task = caller().coordinator(lambda coordinator, left: coordinator.get_task(path.task_id, deadline=left))
    return reply(answers.OneTask(task=convert.task(task)))


@routes.get("/tasks/<task_id>/why", responses=documented({200: answers.Explanation}, 404))
def explain_task(path: TaskPath) -> Response:
    """Why a task is where it is, by the decision that dispatch itself uses."""
    why = caller().coordinator(lambda coordinator, left: coordinator.explain(path.task_id, deadline=left))
    return reply(convert.explanation(why))


@routes.post("/tasks/<task_id>/cancel", responses=documented({200: answers.Cancelled}, 404, 409, 415))
def cancel_task(path: TaskPath, body: Why) -> Response:
    """Asks that a task end; one that has ended is left as it is, and the answer says so."""
    result = caller().coordinator(
        lambda coordinator, left: coordinator.cancel([path.task_id], reason=body.reason, deadline=left)
    )
    if result.tasks:
        return reply(answers.Cancelled(task=convert.task(result.tasks[0]), already_ended=False))
    task = caller().coordinator(lambda coordinator, left: coordinator.get_task(path.task_id, deadline=left))
    return reply(answers.Cancelled(task=convert.task(task), already_ended=True))


@routes.post(
    "/tasks/<task_id>/retry",
    responses=documented({201: answers.OneTask}, 404, 409, 415),
)
def retry_task(path: TaskPath, body: Why) -> Response:
    """Submits a new task with the payload of an ended one."""
    key = idempotency_key()
    result = caller().coordinator(
        lambda coordinator, left: coordinator.retry([path.task_id], idempotency_key=key, deadline=left)
    )
    task = convert.task(result.tasks[0])
    return reply(answers.OneTask(task=task), 201, Location=f"/tasks/{task.id}")


@routes.post("/tasks/<task_id>/decide", responses=documented({200: answers.OneTask}, 404, 409, 415))
def decide_task(path: TaskPath, body: Decide) -> Response:
    """Records a person's decision on a task that waits for one."""
    decision = Decision(body.decision)
    task = caller().coordinator(
        lambda coordinator, left: coordinator.decide(path.task_id, decision, note=body.note, deadline=left)
    )
    return reply(answers.OneTask(task=convert.task(task)))
