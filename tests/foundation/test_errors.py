"""The vocabulary of errors."""

from __future__ import annotations

from datetime import timedelta

import pytest

from foundation.errors import Exhausted, FieldFault, Invalid, Kind, QuantumError, did_you_mean, for_kind


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_one_exception(kind: Kind) -> None:
    error = for_kind(kind)("some_code", "Something happened.")
    assert isinstance(error, QuantumError)
    assert (error.kind, error.code, error.message) == (kind, "some_code", "Something happened.")
    assert (error.remedy, error.fields, error.retry_after) == ("", (), None)


def test_an_error_says_its_sentence_its_faults_and_what_to_do() -> None:
    error = Invalid(
        "bad_task",
        "The task is not right.",
        remedy="Correct it.",
        fields=[FieldFault("tasks[2].priority", "10 is more than the most, 9.")],
    )
    assert str(error) == ("The task is not right.\n  tasks[2].priority: 10 is more than the most, 9.\nCorrect it.")
    assert str(Exhausted("queue_full", "The queue is full.", retry_after=timedelta(seconds=5))) == (
        "The queue is full."
    )
    assert repr(error) == "Invalid('bad_task', 'The task is not right.')"


def test_suggestions_are_near_or_none() -> None:
    assert did_you_mean("HabitQest", ["Garden", "HabitQuest"]) == "HabitQuest"
    assert did_you_mean("zzz", ["Garden", "HabitQuest"]) is None
    assert did_you_mean("anything", []) is None
