"""The report for a Mac, as far as another machine can run it: all items are there, nothing private, nothing left."""

from __future__ import annotations

import getpass
import platform
import re
from pathlib import Path

import pytest

from tests.mac_report.items import ITEMS
from tests.mac_report.report import IS_MAC, Item, Scene, run_all
from tests.repository.tracked import ROOT, ours

QUICK = ("machine", "full-sync")


def run(items: list[Item]) -> tuple[str, dict[str, str]]:
    report = run_all(items, say=lambda line: None)
    words = dict(re.findall(r"^## ([a-z-]+): (.+)$", report.text, flags=re.MULTILINE))
    assert report.good is ("FAILED" not in words.values())
    return report.text, words


def test_every_claim_that_was_not_run_is_tried() -> None:
    claims = {
        str(path)
        for path in ours(".py")
        if path.parts[0] not in ("tests", "docs")
        and re.search(r"designed,\s+not\s+run", (ROOT / path).read_text(), re.I)
    }
    assert claims, "nothing claims to be designed and not run"
    tried = {name for item in ITEMS for name in item.covers}
    assert claims <= tried
    assert all((ROOT / name).exists() for name in tried)


@pytest.mark.skipif(IS_MAC, reason="run `make mac-report` itself here")
def test_elsewhere_each_item_is_run_or_says_why_not() -> None:
    _, words = run([item for item in ITEMS if item.needs_mac or item.name in QUICK])
    assert words == {item.name: "not a Mac" if item.needs_mac else "ok" for item in ITEMS if item.name in words}
    assert len(words) >= len(ITEMS) - 2


@pytest.mark.long
@pytest.mark.skipif(IS_MAC, reason="run `make mac-report` itself here")
def test_what_needs_no_mac_is_run_for_real() -> None:
    text, words = run([item for item in ITEMS if not item.needs_mac])
    assert set(words.values()) == {"ok"}, text
    assert "## left behind\n\nNothing." in text


def test_nothing_private_is_in_it_and_a_fault_is_told() -> None:
    seen: dict[str, Path] = {}

    def leak(scene: Scene) -> str:
        seen["folder"] = scene.folder
        return f"{Path.home()}/x {platform.node()} of {getpass.getuser()} in {scene.folder} {'ab' * 32}"

    def fail(scene: Scene) -> str:
        raise RuntimeError("out of luck")

    text, words = run([Item("leak", "", leak, (), False), Item("fail", "", fail, (), False)])
    assert words == {"leak": "ok", "fail": "FAILED"}
    assert "out of luck" in text
    assert "~/x <host> of <user> in <folder> <key>" in text
    assert not seen["folder"].exists()
