"""docs/adding-an-agent.md lists the keys that a manifest has, and its script works as printed."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from services.coordinator.domain.manifest import manifest_of_script
from tests.repository.tracked import ROOT

PAGE = (ROOT / "docs" / "adding-an-agent.md").read_text()


def test_the_table_lists_every_key() -> None:
    asked = manifest_of_script("# /// script\n# [tool.quantum]\n# qqqqqqqq = 1\n# ///\n")
    assert asked is not None
    known = re.search(r"Known are ([a-z_, ]+)\.", asked.faults[0])
    assert known, asked.faults
    table = PAGE.partition("| key | default")[2].partition("A script without a block")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert {key for row in rows for key in re.findall(r"`([a-z_]+)`", row)} == set(known[1].split(", "))


def test_the_script_on_the_page_runs_as_printed(tmp_path: Path) -> None:
    printed = re.search(r"```sh\n(#!/bin/sh\n.*?)```", PAGE, flags=re.DOTALL)
    assert printed
    manifest = manifest_of_script(printed[1])
    assert manifest is not None and manifest.faults == ()
    (tmp_path / "greet.sh").write_text(printed[1])
    (tmp_path / "params.json").write_text('{"name": "Ada"}')
    environment = {
        "PATH": os.environ["PATH"],
        "QUANTUM_AGENT": "greet",
        "QUANTUM_ATTEMPT": "1",
        "QUANTUM_PARAMS": str(tmp_path / "params.json"),
    }
    ended = subprocess.run(
        ["sh", "greet.sh"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert "Hello, I am greet" in ended.stdout and "Ada" in ended.stdout
