"""Whether the system works: in one word for everybody, in detail for whoever has a token."""

from __future__ import annotations

from typing import Literal

from flask import Response, g

from foundation.errors import QuantumError
from gateway import convert
from gateway.answering import area, reply
from gateway.schemas import answers
from gateway.schemas.documented import OPTIONAL_TOKEN_SECURITY
from gateway.schemas.documented import answers as documented
from gateway.services import Serving
from gateway.state import caller, gateway, unless_out_of_reach

routes = area("health")

Status = Literal["ok", "degraded", "down"]


@routes.get(
    "/health",
    responses=documented({200: answers.AnyHealth, 503: answers.AnyHealth}),
    security=OPTIONAL_TOKEN_SECURITY,
)
def health() -> Response:
    """Without a token one word; with one each service, runner, the store, the disk and the mode.

    503 when it is down: the coordinator does not serve, so that nothing is accepted.
    """
    serving = gateway().services.serving()
    if g.get("caller") is None:
        status = _status(serving, _silent(serving))
        return reply(answers.BareHealth(status=status), _code(status))
    detailed = _in_detail(serving)
    return reply(detailed, _code(detailed.status))


def _in_detail(serving: Serving) -> answers.Health:
    asked_stats = unless_out_of_reach(
        lambda: caller().coordinator(lambda coordinator, left: coordinator.queue_stats(deadline=left))
    )
    asked_mode = unless_out_of_reach(lambda: caller().safety(lambda safety, left: safety.get_mode(deadline=left)))
    unknown: dict[str, str] = {}
    if isinstance(asked_stats, QuantumError):
        unknown |= dict.fromkeys(("runners", "store", "disk"), asked_stats.message)
    if isinstance(asked_mode, QuantumError):
        unknown["mode"] = asked_mode.message
    stats = None if isinstance(asked_stats, QuantumError) else asked_stats
    reasons = _silent(serving)
    if stats is not None and not any(runner.attached_at for runner in stats.runners):
        reasons.append("No runner is attached, so that nothing can run.")
    return answers.Health(
        status=_status(serving, reasons),
        reasons=reasons,
        services={"coordinator": _word(serving.coordinator), "safety": _word(serving.safety)},
        runners=None if stats is None else [convert.runner(runner) for runner in stats.runners],
        store=None if stats is None else answers.Store(bytes=stats.store_bytes),
        disk=None if stats is None else answers.Disk(free_bytes=stats.disk_free_bytes),
        mode=None if isinstance(asked_mode, QuantumError) else convert.mode(asked_mode),
        unknown=unknown,
    )


def _silent(serving: Serving) -> list[str]:
    """What does not serve, a sentence each."""
    reasons = []
    if not serving.coordinator:
        reasons.append("The coordinator does not serve, so that nothing is accepted.")
    if not serving.safety:
        reasons.append("The safety service does not serve, so that nothing new starts.")
    if serving.runners and not any(serving.runners.values()):
        reasons.append("No runner of this machine serves.")
    return reasons


def _status(serving: Serving, reasons: list[str]) -> Status:
    if not serving.coordinator:
        return "down"
    return "degraded" if reasons else "ok"


def _code(status: Status) -> int:
    return 503 if status == "down" else 200


def _word(serves: bool) -> Literal["serving", "not_serving"]:
    return "serving" if serves else "not_serving"
