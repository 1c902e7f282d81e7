"""What people are to be told of is told until safety has answered: a tree that cannot be ended, above all."""

from dataclasses import replace
from pathlib import Path

from foundation.errors import Unavailable
from services.coordinator.app.alerts import WAITING, TellAlerts, note_alerts, over
from services.coordinator.domain.task import TaskState
from services.coordinator.ports import Store
from services.coordinator.ports_safety import PersonalAlert
from tests.coordinator.fleet import Fleet, ended, granted, sent, started

ALERT = PersonalAlert("cause", "warning", "It is so.", "Do this.")


class PlayedBell:
    """Rings, or is away."""

    def __init__(self) -> None:
        self.heard: list[PersonalAlert] = []
        self.over: list[str] = []
        self.away = False

    async def ring(self, alert: PersonalAlert) -> None:
        """Hear it."""
        if self.away:
            raise Unavailable("safety_away", "Safety does not answer.")
        self.heard.append(alert)

    async def resolve(self, cause: str) -> None:
        """Hear that it is over."""
        if self.away:
            raise Unavailable("safety_away", "Safety does not answer.")
        self.over.append(cause)


async def test_what_waits_is_told_once_safety_answers_and_once_only(store: Store) -> None:
    bell = PlayedBell()
    tell = TellAlerts(store, bell)
    bell.away = True
    await store.write(lambda tx: note_alerts(tx, [ALERT]))
    await store.write(
        lambda tx: note_alerts(tx, [ALERT._replace(sentence="It is so again."), ALERT._replace(cause="b")])
    )
    await tell.step()
    assert bell.heard == []
    bell.away = False
    for _ in range(2):
        await tell.step()
    assert [(alert.cause, alert.sentence) for alert in bell.heard] == [("cause", "It is so again."), ("b", "It is so.")]
    assert await store.read(lambda tx: tx.fact(WAITING)) is None


async def test_what_is_over_before_it_was_told_is_told_as_over_alone(store: Store) -> None:
    bell = PlayedBell()
    tell = TellAlerts(store, bell)
    bell.away = True
    await store.write(lambda tx: note_alerts(tx, [ALERT, ALERT._replace(cause="b")]))
    await store.write(lambda tx: note_alerts(tx, [over("cause")]))
    await tell.step()
    assert (bell.heard, bell.over) == ([], [])
    bell.away = False
    for _ in range(2):
        await tell.step()
    assert ([alert.cause for alert in bell.heard], bell.over) == (["b"], ["cause"])
    assert await store.read(lambda tx: tx.fact(WAITING)) is None


async def test_a_tree_that_cannot_be_ended_is_an_alert_whatever_becomes_of_its_task(tmp_path: Path) -> None:
    fleet, bell = Fleet(tmp_path), PlayedBell()
    await fleet.dispatch.start()
    task = await fleet.submit("a")
    runner = await fleet.runner()
    await fleet.round()
    [lease] = granted(sent(runner))
    end = replace(ended(lease, fleet.now()), tree_dead=False)
    await fleet.tell(runner, started(lease, fleet.now()), end)
    await TellAlerts(fleet.store, bell).step()
    [alert] = bell.heard
    assert alert.cause.startswith("tree_not_dead:") and alert.level == "critical" and task.id in alert.sentence
    found = await fleet.store.read(lambda tx: tx.task(task.id))
    assert found is not None and found.state is TaskState.SUCCEEDED
    # A result that is refused: its processes are there all the same.
    await fleet.tell(runner, end)
    await TellAlerts(fleet.store, bell).step()
    assert len(bell.heard) == 2


async def test_a_tree_that_is_dead_is_none(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    await fleet.dispatch.start()
    await fleet.submit("a")
    runner = await fleet.runner()
    await fleet.round()
    [lease] = granted(sent(runner))
    await fleet.tell(runner, started(lease, fleet.now()), ended(lease, fleet.now()))
    assert await fleet.store.read(lambda tx: tx.fact(WAITING)) is None
