"""What the documents name is there: make targets, files behind links, decisions in their index."""

from __future__ import annotations

import re

import pytest

from tests.repository.tracked import ROOT, tracked

DOCUMENTS = [path for path in tracked(".md") if "vendor" not in path.parts]
TARGETS = ("help", "setup", "demo", "run", "test", "test-long", "verify", "proto", "bench", "clean")


def make_targets() -> set[str]:
    """Return the targets that the Makefile documents."""
    return set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))


def test_makefile_has_the_promised_targets() -> None:
    assert set(TARGETS) <= make_targets()


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_make_targets_that_are_named_exist(path: str) -> None:
    text = (ROOT / path).read_text()
    named = set(re.findall(r"`make ([a-z-]+)`", text)) | set(re.findall(r"^\s*make ([a-z-]+)", text, re.MULTILINE))
    # `make smoke` and `make build` are what the agents look for in other people's projects.
    assert named - {"smoke", "build"} <= make_targets()


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_links_lead_somewhere(path: str) -> None:
    folder = (ROOT / path).parent
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", (ROOT / path).read_text())
    dead = [link for link in links if "://" not in link and not (folder / link).exists()]
    assert not dead


def test_every_decision_is_in_the_index() -> None:
    folder = ROOT / "docs" / "decisions"
    notes = {path.name for path in folder.glob("[0-9]*.md")}
    listed = set(re.findall(r"\]\((\d{4}-[a-z0-9-]+\.md)\)", (folder / "README.md").read_text()))
    assert notes == listed


def test_requirements_file_of_the_runbook_is_there() -> None:
    assert "pip install -r requirements.txt" in (ROOT / "README.md").read_text()
