"""The labels of a runner: its own, those of the setting and those of the command line."""

from __future__ import annotations

import pytest

from foundation.errors import Invalid
from foundation.labels import labels_of
from services.agent_runner.adapters.this_machine import memory_bytes, own_labels

OWN = {"os": "linux", "machine": "x86_64", "host": "here", "runner": "one"}


def test_the_command_line_goes_before_the_setting() -> None:
    assert labels_of(OWN, "gpu=no, disk=ssd,", ["gpu=yes"]) == {**OWN, "gpu": "yes", "disk": "ssd"}


@pytest.mark.parametrize("wrong", ["gpu", "=yes", "gpu=", "os=darwin", "x" * 65 + "=1", "runner=two"])
def test_what_is_no_label_or_says_what_is_not_so_is_refused(wrong: str) -> None:
    with pytest.raises(Invalid):
        labels_of(OWN, "", [wrong])
    with pytest.raises(Invalid):
        labels_of(OWN, wrong, [])


def test_a_machine_says_what_it_is() -> None:
    own = own_labels("one")
    assert own["runner"] == "one"
    assert own["os"] in ("linux", "darwin")
    assert memory_bytes() > 1 << 28
