"""How a change in preparation moves the mode: by a person's verb, or by safety itself."""

from __future__ import annotations

from services.safety.app.draft import Draft
from services.safety.app.trail import OWN_NAME
from services.safety.domain.audit import Actor
from services.safety.domain.mode import Mode, ModeRecord, tighten


def guard(draft: Draft, reason: str) -> None:
    """Safety's own step up to GUARDED, once: a mode that is as strict already stays as it is."""
    if draft.mode_record.mode is Mode.NORMAL:
        tighten_in(draft, Mode.GUARDED, actor=OWN_NAME, reason=reason, by=Actor(name=OWN_NAME, source="safety itself"))


def tighten_in(draft: Draft, to: Mode, *, actor: str, reason: str, by: Actor | None = None) -> bool:
    """Make the mode stricter, and have it recorded; false when it is that mode already. Raises Conflict."""
    before = draft.mode_record
    if not set_in(draft, tighten(before, to, actor=actor, reason=reason, now=draft.now)):
        return False
    draft.audit(
        act="mode_tighten",
        target="mode",
        before=before.mode.name,
        after=to.name,
        reason=reason,
        by=by,
        tightens=True,
    )
    return True


def set_in(draft: Draft, record: ModeRecord) -> bool:
    """Take a mode over into the draft; false when it is the one that stands."""
    if record is draft.mode_record:
        return False
    draft.mode_record = record
    draft.book.epoch += 1
    draft.must_be_durable = True
    return True
