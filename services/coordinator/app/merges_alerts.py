"""What people are told of merges without having looked, and when that is over."""

from collections.abc import Sequence
from datetime import datetime

from services.coordinator.app import merges_facts as facts
from services.coordinator.app.alerts import note_alerts, over
from services.coordinator.domain.merge_check import Action, MergeCheck, Verdict
from services.coordinator.domain.merge_freedom import approve_line
from services.coordinator.ports import StoreTransaction
from services.coordinator.ports_safety import PersonalAlert


def tell_of(tx: StoreTransaction, check: MergeCheck, *, now: datetime) -> None:
    """A check that has just ended has taken something back, or could not, or has frozen its repository."""
    if check.action is Action.REFUSED and check.verdict is Verdict.BAD:
        note_alerts(tx, [_refused(check)])
    elif check.action is Action.ROLLED_BACK:
        note_alerts(tx, [_rolled_back(check), *_frozen(tx, check, now)])


def tell_of_thaw(tx: StoreTransaction, repository: str, *, now: datetime) -> None:
    """The alert of a freeze is over where the freeze is: lifted by a person, or gone by itself."""
    if facts.freeze_was_told(tx, repository) and not facts.freeze(tx, repository, now):
        facts.note_freeze_told(tx, repository, frozen=False)
        note_alerts(tx, [over(_freeze_cause(repository))])


def _refused(check: MergeCheck) -> PersonalAlert:
    said = f"A bad merge stays on {_where(check)}: {check.sentence}"
    return PersonalAlert(f"merge_refused:{check.repository}", "warning", said, f"quantum merge show {check.id}")


def _rolled_back(check: MergeCheck) -> PersonalAlert:
    said = f"A bad merge was taken off {_where(check)}: {check.sentence}"
    return PersonalAlert(f"merge_rolled_back:{check.repository}", "warning", said, check.undo)


def _frozen(tx: StoreTransaction, check: MergeCheck, now: datetime) -> Sequence[PersonalAlert]:
    frozen = facts.freeze(tx, check.repository, now)
    if not frozen:
        return ()
    facts.note_freeze_told(tx, check.repository, frozen=True)
    said = f"Merges into {check.project or check.folder} are frozen: {frozen}"
    return (PersonalAlert(_freeze_cause(check.repository), "critical", said, approve_line(check.repository)),)


def _freeze_cause(repository: str) -> str:
    return f"merges_frozen:{repository}"


def _where(check: MergeCheck) -> str:
    return f"{check.branch or 'HEAD'} of {check.project or check.folder}"
