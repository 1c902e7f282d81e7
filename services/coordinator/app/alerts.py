"""What people are to be told of: written with what gave rise to it, told to safety until it has answered."""

import json
from collections.abc import Sequence

from foundation.errors import Exhausted, TimedOut, Unavailable
from foundation.log import get_logger
from services.coordinator.domain.attempt import Ended, Unrecorded, What
from services.coordinator.ports import Store, StoreTransaction
from services.coordinator.ports_safety import AlertBell, PersonalAlert

WAITING = "alerts_waiting"
"""The fact that holds what safety has not answered for."""
WAITING_MAX = 100
OVER = "over"
"""The level of what waits to be resolved."""

_log = get_logger("coordinator")


def note_alerts(tx: StoreTransaction, alerts: Sequence[PersonalAlert]) -> None:
    """Have people told of these, or of their end, once the transaction stands; of one cause the newest counts."""
    if not alerts:
        return
    waiting = {alert.cause: alert for alert in (*_waiting(tx), *alerts)}
    _keep(tx, list(waiting.values())[-WAITING_MAX:])


def over(cause: str) -> PersonalAlert:
    """Its cause is gone; of no weight where it was never there."""
    return PersonalAlert(cause, OVER, "")


def tree_not_dead(runner: str, event: Ended) -> PersonalAlert:
    """An attempt is over and its processes are not: the runner has taken itself out of work, and a person must look."""
    return PersonalAlert(
        cause=f"tree_not_dead:{runner}",
        level="critical",
        sentence=(
            f"Processes of task {event.task_id} cannot be ended, so runner {runner} takes no more work: they wait for a"
            " device, or belong to somebody whom the runner may not signal."
        ),
        remedy=f"logs/system.log names them (action tree_not_dead); once they are gone, start runner {runner} again.",
    )


def not_recorded(event: Unrecorded) -> PersonalAlert:
    """What a runner told could not be dealt with, which is a fault of ours: a person must know what became of it."""
    became = {
        What.END: f"`quantum why {event.task_id}` says what became of it",
        What.RETURN: "it was handed back, and is queued again",
        What.NEWS: "its attempt goes on",
    }[event.what]
    return PersonalAlert(
        cause="not_recorded",
        level="critical",
        sentence=f"What a runner told of task {event.task_id} could not be recorded ({event.fault}); {became}.",
        remedy="This is a fault of Quantum: `quantum doctor --bundle FILE` gathers what whoever mends it needs.",
    )


class TellAlerts:
    """Tells safety what waits. What it has not answered for is told again: of one cause safety makes one alert."""

    def __init__(self, store: Store, bell: AlertBell) -> None:
        self._store = store
        self._bell = bell
        self._away = False

    async def step(self) -> None:
        """Tell everything that waits; while safety cannot be asked, or cannot write, it waits on."""
        for alert in await self._store.read(_waiting):
            try:
                await (self._bell.resolve(alert.cause) if alert.level == OVER else self._bell.ring(alert))
            except (Unavailable, TimedOut, Exhausted) as error:
                if not self._away:
                    _log.warning(f"An alert is told later: {error.message}", action="alert_waits", cause=alert.cause)
                self._away = True
                return
            self._away = False
            await self._store.write(lambda tx, told=alert: _forget(tx, told))  # type: ignore[misc]


def _waiting(tx: StoreTransaction) -> list[PersonalAlert]:
    return [PersonalAlert(*each) for each in json.loads(tx.fact(WAITING) or "[]")]


def _forget(tx: StoreTransaction, told: PersonalAlert) -> None:
    _keep(tx, [alert for alert in _waiting(tx) if alert != told])


def _keep(tx: StoreTransaction, alerts: Sequence[PersonalAlert]) -> None:
    tx.set_fact(WAITING, json.dumps(alerts) if alerts else None)
