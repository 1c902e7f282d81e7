"""merge-check: a real attempt at a real merge, as the warden runs it, with a gateway that it asks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.agents.conftest import AGENTS, Ended, RunAgent
from tests.merge_guard.gateway import Answering, answering
from tests.merge_guard.sample import Sample


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    """A repository in which a bad merge has just come by fast-forward."""
    sample = Sample(tmp_path / "user" / "project")
    sample.commit({"quantum.toml": "[merge]\nsmoke = ['sh', 'smoke.sh']\n", "smoke.sh": "test ! -e broken\n"})
    sample.commit({"broken": "", "b.txt": "b\n"})
    sample.run("branch", "topic")
    sample.run("reset", "--quiet", "--hard", "HEAD~1")
    sample.run("merge", "--quiet", "topic")
    return sample


def attempt(tmp_path: Path, sample: Sample, gateway: str, agents: Path = AGENTS, **params: Any) -> Ended:
    """Run it with the environment of an attempt and nothing else: no PYTHONPATH that would help it."""
    report, work = tmp_path / "report.json", tmp_path / "work"
    report.unlink(missing_ok=True)
    work.mkdir(exist_ok=True)
    (tmp_path / "credential").write_text("qat_secret")
    given: dict[str, Any] = {"check": "c1", "repository": "r1", "folder": str(sample.folder), "event": "post-merge"}
    given |= {"old": "", "new": "", "topic": "", "background": False, "only_report": "", "flaky": {}}
    (tmp_path / "params.json").write_text(json.dumps(given | params))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(sample.folder.parent),
        "QUANTUM_AGENT": "merge-check",
        "QUANTUM_PARAMS": str(tmp_path / "params.json"),
        "QUANTUM_REPORT": str(report),
        "QUANTUM_WORKDIR": str(work),
        "QUANTUM_GATEWAY": gateway,
        "QUANTUM_CREDENTIAL": str(tmp_path / "credential"),
    }
    done = subprocess.run(
        [sys.executable, agents / "merge-check.py"],
        cwd=tmp_path,
        env=environment,
        text=True,
        check=False,
        timeout=250,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    document = json.loads(report.read_text()) if report.exists() else None
    return Ended(exit_code=done.returncode, output=done.stdout, report=document)


def test_a_bad_merge_is_rolled_back_after_quantum_was_asked(tmp_path: Path, sample: Sample) -> None:
    old, new = sample.run("rev-parse", "HEAD~1"), sample.run("rev-parse", "HEAD")
    with answering(Answering()) as gateway:
        ended = attempt(tmp_path, sample, gateway.address, old=old, new=new)
    assert ended.exit_code == 0 and ended.report is not None, ended.output
    data = ended.report["data"]
    assert ended.report["type"] == "merge-check" and (data["verdict"], data["action"]) == ("bad", "rolled_back")
    assert sample.run("rev-parse", "HEAD") == old and gateway.asked == [
        ("/merges/c1/confirm", "qat_secret", {"old": old, "new": new})
    ]
    assert data["check"] == "c1" and data["repository"] == "r1" and data["old"] == old and data["new"] == new
    # Progress is its lines; what came of it is said by whoever shows the report. The test's own output is no progress.
    assert ended.output.splitlines()[0] == "Testing what came" and "qat_secret" not in ended.output
    assert data["sentence"] == ended.report["summary"] and data["sentence"] not in ended.output


def test_a_no_is_reported_and_the_check_ends_well(tmp_path: Path, sample: Sample) -> None:
    with answering(Answering(body=b'{"may_move": false, "reason": "Whoever waited has gone."}')) as gateway:
        ended = attempt(tmp_path, sample, gateway.address)
    assert ended.exit_code == 0 and ended.report is not None
    data = ended.report["data"]
    assert data["action"] == "reported" and "Whoever waited has gone." in data["sentence"]
    assert (sample.folder / "broken").exists()


def test_whatever_it_finds_it_ends_with_0(tmp_path: Path, sample: Sample) -> None:
    ended = attempt(tmp_path, sample, "http://127.0.0.1:9", folder=str(tmp_path))
    assert ended.exit_code == 0 and ended.report is not None and ended.report["data"]["verdict"] == "inconclusive"


@pytest.mark.parametrize("params", [{"check": ""}, {"folder": "relative"}, {"event": "nonsense"}, {"flaky": []}])
def test_an_order_that_is_none(tmp_path: Path, sample: Sample, params: dict[str, Any]) -> None:
    ended = attempt(tmp_path, sample, "http://127.0.0.1:9", **params)
    assert ended.exit_code == 78 and ended.report is None and "Traceback" not in ended.output


def test_by_hand_it_says_that_merges_start_it(run_agent: RunAgent) -> None:
    ended = run_agent("merge-check.py")
    assert ended.exit_code == 78 and "started by a merge" in ended.output


@pytest.mark.parametrize("apart", ["an installation elsewhere", "the control"])
def test_it_finds_the_packages_of_its_own_installation(tmp_path: Path, sample: Sample, apart: str) -> None:
    """Those beside its own folder, whatever is installed for the Python that runs it."""
    there = tmp_path / "installed"
    for name in ("agents", "foundation", "merge_guard"):
        shutil.copytree(AGENTS.parent / name, there / name, ignore=shutil.ignore_patterns("__pycache__"))
    if apart == "the control":
        (there / "agents/kit/packages.py").write_text('"""Nothing."""\n')
    bare = subprocess.run(
        [sys.executable, "-E", "-S", there / "agents" / "merge-check.py"],
        env={"PATH": os.environ["PATH"]},
        text=True,
        check=False,
        capture_output=True,
    )
    assert ("started by a merge" in bare.stderr) == (apart != "the control"), bare.stderr
