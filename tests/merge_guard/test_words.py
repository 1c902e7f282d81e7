"""The merge guard's words are the same on every floor, and its map names every room."""

import re
from enum import StrEnum
from pathlib import Path

import pytest

import merge_guard
from clients import merges_values as wire
from merge_guard import values as guard
from protos.coordinator.v1 import merges_pb2 as pb
from services.coordinator.domain import merge_check as coordinator

WORDS: tuple[tuple[str, type[StrEnum], type[StrEnum], type[StrEnum]], ...] = (
    ("MergeEvent", guard.Event, coordinator.Event, wire.MergeEvent),
    ("MergeVerdict", guard.Verdict, coordinator.Verdict, wire.MergeVerdict),
    ("MergeAction", guard.Action, coordinator.Action, wire.MergeAction),
)


@pytest.mark.parametrize(("name", "ours", "theirs", "told"), WORDS, ids=[words[0] for words in WORDS])
def test_the_words_agree(name: str, ours: type[StrEnum], theirs: type[StrEnum], told: type[StrEnum]) -> None:
    """None may import another: each floor has its own."""
    prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower() + "_"
    keys = getattr(pb, name).keys()
    on_the_wire = {key.lower().removeprefix(prefix) for key in keys} - {"unspecified"}
    for floor in (ours, theirs, told):
        assert {word.value.replace("-", "_") for word in floor} == on_the_wire, floor.__module__


def test_the_map_names_every_module() -> None:
    named = set(re.findall(r"`(\w+)`", merge_guard.__doc__ or ""))
    modules = {path.stem for path in Path(merge_guard.__file__).parent.glob("*.py")} - {"__init__"}
    assert modules - named == set()
