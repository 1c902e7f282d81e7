"""`quantum doctor` beside a system that runs: every protection is on, and what is done to one is seen."""

from __future__ import annotations

from tests.acceptance.system import System


def protections(system: System, code: int = 0) -> dict[str, dict[str, object]]:
    document = system.quantum("doctor", "--json", code=code).document
    assert document["ok"] is (code == 0)
    return {one["what"]: one for one in sorted(document["protections"], key=lambda one: not one["on"])}


def test_with_everything_up_all_is_on_but_what_a_person_chooses(shared: System) -> None:
    every = protections(shared)
    assert {what for what, one in every.items() if not one["on"]} == {"keychain", "alert channels", "merge guard"}
    assert "as they were written" in str(every["audit log"]["found"])
    assert "$50.00 per day" in str(every["spend caps"]["found"])


def test_the_line_that_turns_one_on_does(shared: System) -> None:
    shared.quantum("spend", "cap", "fleet", "none", "--per", "day", "--reason", "a trial", code=0)
    shared.quantum("spend", "cap", "fleet", "none", "--per", "month", "--reason", "a trial", code=0)
    off = protections(shared)["spend caps"]
    shared.workspace.safety_db.chmod(0o644)
    exposed = protections(shared, code=1)["file rights"]
    shared.workspace.safety_db.chmod(0o600)
    assert (off["on"], exposed["on"]) == (False, False)
    assert off["remedy"] == 'quantum spend cap fleet 50 --per day --reason "a limit"'
    shared.quantum("spend", "cap", "fleet", "50", "--per", "day", "--reason", "a limit", code=0)
    assert protections(shared)["spend caps"]["on"]


def test_a_stop_is_shown_with_the_line_that_ends_it(shared: System) -> None:
    shared.quantum("stop", "--all", "--reason", "a drill", code=0)
    every = protections(shared)
    assert "a drill" in str(every["emergency stop"]["found"])
    assert str(every["mode"]["found"]).startswith("STOPPED")
    shared.quantum("resume", code=0)
    assert str(protections(shared)["mode"]["found"]).startswith("NORMAL")
