"""Translates between the messages of merge checks and the values of their client."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from clients.merges_values import (
    CheckState,
    Freeness,
    MergeAction,
    MergeCheckView,
    MergeEvent,
    MergeFreedomView,
    MergeVerdict,
)
from clients.wire_values import from_json, moment_in
from foundation.errors import Internal
from protos.coordinator.v1 import merges_pb2

W = TypeVar("W", bound=StrEnum)


def _name(prefix: str, word: StrEnum) -> str:
    return f"{prefix}_{word.replace('-', '_').upper()}"


_EVENTS = {merges_pb2.MergeEvent.Value(_name("MERGE_EVENT", one)): one for one in MergeEvent}
_STATES = {merges_pb2.MergeCheckState.Value(_name("MERGE_CHECK_STATE", one)): one for one in CheckState}
_VERDICTS = {merges_pb2.MergeVerdict.Value(_name("MERGE_VERDICT", one)): one for one in MergeVerdict}
_ACTIONS = {merges_pb2.MergeAction.Value(_name("MERGE_ACTION", one)): one for one in MergeAction}
_FREENESS = {merges_pb2.MergeFreeness.Value(_name("MERGE_FREENESS", one)): one for one in Freeness}


def event_to(event: MergeEvent) -> str:
    """The wire's name of an event."""
    return _name("MERGE_EVENT", event)


def check_from(wire: merges_pb2.MergeCheck) -> MergeCheckView:
    """A check; raises Internal for a word that this client is too old to know."""
    return MergeCheckView(
        id=wire.id,
        repository=wire.repository_id,
        folder=wire.folder,
        project=wire.project,
        event=_word(_EVENTS, wire.event, "event"),
        branch=wire.branch,
        old=wire.old_commit,
        new=wire.new_commit,
        state=_word(_STATES, wire.state, "state") or CheckState.WAITING,
        progress=wire.progress,
        verdict=_word(_VERDICTS, wire.verdict, "verdict"),
        action=_word(_ACTIONS, wire.action, "action"),
        sentence=wire.sentence,
        undo=wire.undo,
        task=wire.task_id,
        created_at=moment_in(wire, "created_at"),
        ended_at=moment_in(wire, "ended_at"),
        only_report_reason=wire.only_report_reason,
        undone_at=moment_in(wire, "undone_at"),
        freedom_reason=wire.freedom_reason,
        evidence=from_json(wire.evidence_json) if wire.evidence_json else None,
    )


def freedom_from(wire: merges_pb2.GetMergeFreedomResponse) -> MergeFreedomView:
    """Whether merges are free; what is not said is not free."""
    freedom = _word(_FREENESS, wire.freeness, "freedom")
    return MergeFreedomView(freedom=freedom or Freeness.APPROVAL, reason=wire.reason)


def _word(words: Mapping[int, W], wire: int, what: str) -> W | None:
    """The word that a number of the wire stands for; None for 0, which says nothing."""
    if not wire:
        return None
    word = words.get(wire)
    if word is None:
        raise Internal("unknown_word", f"The coordinator named a {what} of a merge check ({wire}) not known here.")
    return word
