"""`quantum audit`: what it lists, what it exits with, and how it sums up the access log."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cli.logs.access_summary import summed_up
from clients.safety_audit_values import AuditFault, AuditPage, AuditRecordView, AuditVerdict
from tests.cli.conftest import Quantum
from tests.cli.fakes import NOW, PlayedSafety

A_RECORD = AuditRecordView(
    number=1,
    at=NOW,
    actor="ann",
    actor_id="t1",
    source="quantum stop by the local socket",
    act="mode_tighten",
    target="mode",
    before="NORMAL",
    after="STOPPED",
    reason="fire",
    digest="ab" * 32,
)
GOOD = AuditVerdict(fault=None, records=3, head="ab" * 32, unconfirmed=0)


@dataclass
class PlayedAudit:
    """A log of three records, in pages of two."""

    verdict: AuditVerdict = GOOD
    asked: list[dict[str, Any]] = field(default_factory=list)

    async def page(self, *, since: datetime | None, limit: int, cursor: str | None) -> AuditPage:
        """Two of them, then the third."""
        self.asked.append({"since": since, "limit": limit})
        numbers = {None: [3, 2], "2": [1]}[cursor][:limit]
        records = tuple(replace(A_RECORD, number=number) for number in numbers)
        return AuditPage(records=records, next="2" if cursor is None and limit > 1 else None)

    async def verify(self) -> AuditVerdict:
        """What was set."""
        return self.verdict


@pytest.fixture
def audit(played_safety: PlayedSafety) -> PlayedAudit:
    played = PlayedAudit()
    played_safety.audit = played
    return played


def test_it_lists_all_pages_up_to_the_limit(quantum: Quantum, audit: PlayedAudit) -> None:
    listed = quantum("audit", "--json").document["records"]
    assert [record["number"] for record in listed] == [3, 2, 1]
    assert len(quantum("audit", "--limit", "1", "--json").document["records"]) == 1
    assert "NORMAL → STOPPED" in quantum("audit").out


def test_since_counts_back_from_now(quantum: Quantum, audit: PlayedAudit) -> None:
    quantum("audit", "--since", "2h")
    assert audit.asked[0]["since"] == NOW - timedelta(hours=2)


def test_a_good_log_exits_with_0_and_a_changed_one_with_1_and_the_record(quantum: Quantum, audit: PlayedAudit) -> None:
    good = quantum("audit", "--verify")
    assert (good.code, "as it was written: 3 records" in good.out) == (0, True)
    audit.verdict = replace(GOOD, fault=AuditFault(number=2, kind="changed", sentence="Record 2 differs."))
    assert quantum("audit", "--verify").code == 1
    said = quantum("audit", "--verify", "--json")
    assert (said.code, said.document["good"], said.document["fault"]["number"]) == (1, False, 2)


def test_verify_and_access_are_two_questions(quantum: Quantum, audit: PlayedAudit) -> None:
    assert quantum("audit", "--verify", "--access").code == 2


def line(minute: int, status: int = 200, who: str | None = "t1", route: str | None = "/mode") -> str:
    at = f"2026-01-01T00:{minute:02}:00.000Z"
    return json.dumps(
        {"at": at, "who": who, "from": "127.0.0.1", "method": "GET", "path": "/x", "route": route, "status": status}
    )


def test_the_access_log_is_summed_up_over_its_rotated_files(tmp_path: Path) -> None:
    (tmp_path / "access.log.1").write_text(f"{line(1)}\n{line(2, 403)}\n")
    (tmp_path / "access.log").write_text(f"{line(3, 503)}\n{line(4, 401, who=None, route=None)}\nrubbish\n")
    summary = summed_up(tmp_path, since=None)
    first, second = summary.lines
    assert (first.who, first.route, first.requests, first.refused, first.failed) == ("t1", "/mode", 3, 1, 1)
    assert (first.first.minute, first.last.minute) == (1, 3)
    assert (second.who, second.route, second.refused) == ("", "", 1)
    assert summary.unreadable == 1
    lately = summed_up(tmp_path, since=datetime.fromisoformat("2026-01-01T00:03:00Z"))
    assert [one.requests for one in lately.lines] == [1, 1]


def test_access_without_a_log_says_so(quantum: Quantum) -> None:
    assert "holds nothing" in quantum("audit", "--access").out
