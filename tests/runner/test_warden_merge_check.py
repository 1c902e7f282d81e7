"""merge-check under a real warden: with the environment, folders and credential that an attempt gets, and no more."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from foundation.ids import random_bytes
from foundation.tokens import mint
from tests.agents.conftest import AGENTS
from tests.merge_guard.gateway import Answering, answering
from tests.merge_guard.sample import Sample
from tests.runner.support import WardenUnderTest


def test_a_bad_merge_is_taken_back_by_an_attempt(warden: WardenUnderTest, tmp_path: Path) -> None:
    sample = Sample(tmp_path / "user" / "project")
    smoke = "setsid sleep 600 >/dev/null 2>&1 &\ntest ! -e broken\n"
    sample.commit({"quantum.toml": "[merge]\nsmoke = ['sh', 'smoke.sh']\n", "smoke.sh": smoke})
    sample.run("switch", "--quiet", "--create", "topic")
    sample.commit({"broken": ""})
    sample.run("switch", "--quiet", "main")
    sample.run("merge", "--quiet", "topic")
    old, new = sample.run("rev-parse", "main~1"), sample.run("rev-parse", "main")
    credential = mint(random_bytes).text
    params = {"check": "c1", "repository": "r1", "folder": str(sample.folder), "event": "post-merge", "old": old}
    with answering(Answering()) as gateway:
        ended = warden.run(
            AGENTS / "merge-check.py",
            argv=[sys.executable, str(AGENTS / "merge-check.py")],
            params=json.dumps({**params, "new": new, "topic": "", "background": False, "only_report": "", "flaky": {}}),
            credential=credential,
            variables={"QUANTUM_GATEWAY": gateway.address, "HOME": str(sample.folder.parent)},
            memory_bytes=1 << 30,
            processes_max=64,
        )
    output = warden.output(ended.slot).decode()
    assert ended.status == 0 and ended.reported and ended.tree_dead, output
    assert [asked[:2] for asked in gateway.asked] == [("/merges/c1/confirm", credential)]
    assert sample.run("rev-parse", "main") == old, output
    # Each of the ten runs left a daemon, which was ended before the next: none was left for the warden to find.
    assert ended.stragglers == 0, ended.straggler_names
