"""docs/states.md shows the moves that there are, all of them, and says something about every state."""

import re
from pathlib import Path

import pytest

from services.coordinator.domain.task import ENDED, LEGAL_MOVES, WAITING, TaskState

PAGE = (Path(__file__).parents[2] / "docs" / "states.md").read_text()
ARROW = re.compile(r"^ +(\S+) --> ([^\s:]+)(: .+)?$", re.MULTILINE)


def test_the_diagram_is_the_table() -> None:
    drawn = [(there, to) for there, to, _ in ARROW.findall(PAGE)]
    assert len(drawn) == len(set(drawn))
    legal = {(there.value, to.value) for there, targets in LEGAL_MOVES.items() for to in targets}
    ends = {("[*]", state.value) for state in WAITING} | {(state.value, "[*]") for state in ENDED}
    assert set(drawn) == legal | ends


def test_every_move_says_why() -> None:
    assert [(there, to) for there, to, why in ARROW.findall(PAGE) if "[*]" not in (there, to) and not why] == []


@pytest.mark.parametrize("state", list(TaskState))
def test_every_state_has_its_paragraph_under_the_right_heading(state: TaskState) -> None:
    opened, ended = PAGE.index("## Open"), PAGE.index("## Ended")
    place = PAGE.index(f"\n**{state.value}.**")
    assert place > ended if state in ENDED else opened < place < ended
