"""Reports: what a script published is shown, and what was not taken of it is told to whoever wrote it."""

from __future__ import annotations

from tests.acceptance.system import System

REPORT = """echo '{"type": "trial", "summary": "All is well.", "data": {"found": 0}}' > "$QUANTUM_REPORT\""""


def test_a_report_is_shown_or_its_author_is_told_why_not(system: System) -> None:
    system.agent("tells", REPORT)
    assert "report" not in system.quantum("run", "tells").err
    [report] = system.ask("reports")["reports"]
    assert (report["type"], report["summary"], report["data"]) == ("trial", "All is well.", {"found": 0})

    system.agent("mumbles", 'echo "{not JSON" > "$QUANTUM_REPORT"')
    assert "Its report was not taken: the report is not JSON in UTF-8." in system.quantum("run", "mumbles").err
    [task] = system.ask("tasks", "--agent", "mumbles")["tasks"]
    assert system.ask("tasks", task["id"])["task"]["report_fault"] == "the report is not JSON in UTF-8"
    assert "not taken: the report is not JSON in UTF-8." in system.quantum("tasks", task["id"]).out
