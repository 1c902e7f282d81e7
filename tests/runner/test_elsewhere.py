"""What a lease from another host's coordinator becomes here: its script by its SHA-256, its folders by name."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

from clients.attachment_values import AttemptRef, EndCause, Lease, LeaseTerms
from foundation.errors import Internal, NotFound, Stale, Unavailable
from services.agent_runner.adapters.fetched_scripts import BUILTIN, FetchedScripts, ProjectsHere
from services.agent_runner.app.elsewhere import Elsewhere, Localised

TEXT = b"#!/bin/sh\necho here\n"
SHA256 = hashlib.sha256(TEXT).hexdigest()
THERE = "/there/agents/build.sh"


class Host:
    """A runner's workspace, and a coordinator that has one script."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "config").mkdir()
        self.fetched: list[str] = []
        self.answer: bytes | Exception = TEXT
        self.scripts = FetchedScripts(root / "scripts")
        self.elsewhere = Elsewhere(str(root), self.scripts, ProjectsHere(root / "config" / "projects.toml"))

    async def fetch(self, agent: str, sha256: str) -> bytes:
        self.fetched.append(agent)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def take(self, *terms: LeaseTerms) -> Localised:
        leases = [Lease(AttemptRef(f"t{at}", 1), 1, one) for at, one in enumerate(terms)]
        return await self.elsewhere.localise(leases, self.fetch)

    async def refusal(self, terms: LeaseTerms) -> tuple[EndCause, str]:
        taken = await self.take(terms)
        return taken.refused[AttemptRef("t0", 1)]


def terms(project: str = "", sha256: str = SHA256, builtin: str = "", script: str = THERE) -> LeaseTerms:
    return LeaseTerms("build", project, script, "/there", script_sha256=sha256, builtin=builtin)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


async def test_a_script_is_fetched_once_and_runs_in_our_workspace(host: Host) -> None:
    taken = await host.take(terms(), terms(), terms())
    assert taken.refused == {} and host.fetched == ["build"]
    [script] = {lease.terms.script for lease in taken.leases}
    assert Path(script).read_bytes() == TEXT and Path(script).name == "build.sh"
    assert Path(script).stat().st_mode & 0o777 == 0o755
    assert {lease.terms.folder for lease in taken.leases} == {str(host.root)}
    assert (await host.take(terms())).leases[0].terms.script == script
    assert host.fetched == ["build"]


async def test_what_was_changed_here_is_fetched_again(host: Host) -> None:
    script = Path((await host.take(terms())).leases[0].terms.script)
    script.write_bytes(TEXT + b"echo mine too\n")
    assert Path((await host.take(terms())).leases[0].terms.script).read_bytes() == TEXT
    assert len(host.fetched) == 2


async def test_another_text_than_the_one_that_was_named_is_not_run(host: Host) -> None:
    host.answer = TEXT + b"rm -rf /\n"
    cause, said = await host.refusal(terms())
    assert cause is EndCause.SPAWN_RESOURCES and "SHA-256 differs" in said
    assert not (host.root / "scripts").exists()
    with pytest.raises(Internal):  # the control: only the digest tells
        host.scripts.keep(SHA256, "build.sh", host.answer)
    assert host.scripts.keep(hashlib.sha256(host.answer).hexdigest(), "build.sh", host.answer)


@pytest.mark.parametrize("error", [Stale("script_changed", "It has changed."), Unavailable("away", "It is away.")])
async def test_what_cannot_be_fetched_now_is_tried_again_later(host: Host, error: Exception) -> None:
    host.answer = error
    cause, said = await host.refusal(terms())
    assert cause is EndCause.SPAWN_RESOURCES and str(error).split(" (")[0][:10] in said
    host.answer = TEXT
    assert (await host.take(terms())).refused == {}


async def test_what_never_can_be_is_a_fault_of_the_configuration(host: Host) -> None:
    for one, words in (
        (terms(sha256=""), "larger than what is sent"),
        (terms(project="site"), "has no folder on this runner"),
        (terms(builtin="no-such.py"), "does not come with the Quantum of this machine"),
        (terms(builtin="../foundation/auth.py"), "does not come with the Quantum of this machine"),
    ):
        cause, said = await host.refusal(one)
        assert cause is EndCause.SPAWN_CONFIGURATION and words in said, said


async def test_projects_lie_where_this_host_says(host: Host) -> None:
    projects = host.root / "config" / "projects.toml"
    projects.write_text('[projects]\nsite = "/srv/site"\n')
    taken = await host.take(terms(project="site"), terms(project="other"))
    assert taken.leases[0].terms.folder == "/srv/site" and list(taken.refused) == [AttemptRef("t1", 1)]
    projects.write_text('[projects]\nsite = "/srv/site"\nother = "/srv/other"\n')
    assert (await host.take(terms(project="other"))).leases[0].terms.folder == "/srv/other"


async def test_what_comes_with_quantum_is_this_machines_own(host: Host) -> None:
    for name in ("hello.sh", "smoke.py"):
        one = terms(sha256="", builtin=name)._replace(interpreter=("/there/python",))
        [lease] = (await host.take(one)).leases
        assert lease.terms.script == str(BUILTIN / name)
        assert lease.terms.interpreter == ((sys.executable,) if name.endswith(".py") else ("/there/python",))
    assert host.fetched == []


def test_what_an_earlier_run_kept_is_gone(host: Host, tmp_path: Path) -> None:
    kept = host.scripts.keep(SHA256, "build.sh", TEXT)
    assert host.scripts.find(SHA256, "build.sh") == kept
    assert FetchedScripts(tmp_path / "scripts").find(SHA256, "build.sh") is None and not Path(kept).exists()


def test_a_builtin_that_is_none_is_not_found(host: Host) -> None:
    with pytest.raises(NotFound):
        host.scripts.builtin("kit", ())
