"""confirming: only a clear yes is one; every other answer, or none, is a sentence that says why not."""

from __future__ import annotations

from pathlib import Path

import pytest

from merge_guard.confirming import ask_to_move
from tests.merge_guard.gateway import Answering, answering


def asked(tmp_path: Path, answers: Answering, waits: list[float] | None = None) -> str:
    (tmp_path / "credential").write_text("qat_secret\n")
    environment = {
        "QUANTUM_GATEWAY": answers.address,
        "QUANTUM_CREDENTIAL": str(tmp_path / "credential"),
        "http_proxy": "http://127.0.0.1:9",
    }
    return ask_to_move(environment, "c1", "0" * 40, "1" * 40, wait=(waits if waits is not None else []).append)


def test_a_yes_and_what_was_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with answering(Answering()) as answers:
        assert asked(tmp_path, answers) == ""
    assert answers.asked == [("/merges/c1/confirm", "qat_secret", {"old": "0" * 40, "new": "1" * 40})]


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (200, b'{"may_move": false, "reason": "The mode is FROZEN."}', "The mode is FROZEN."),
        (200, b'{"may_move": false}', "does not say why"),
        (200, b'{"may_move": "yes"}', "not understood"),
        (200, b"[]", "not understood"),
        (200, b"\xff", "not understood"),
        (403, b'{"title": "denied", "detail": "Merge check c1 is not done by task t."}', "not done by task"),
        (401, b"", "HTTP 401"),
        (500, b"[1]", "HTTP 500"),
        (302, b"", "HTTP 302"),
    ],
)
def test_no_with_a_reason(tmp_path: Path, status: int, body: bytes, why: str) -> None:
    with answering(Answering(body=body, statuses=[status])) as answers:
        waits: list[float] = []
        assert why in asked(tmp_path, answers, waits)
    assert len(answers.asked) == 1 and waits == []


def test_a_gateway_that_comes_back_is_asked_again(tmp_path: Path) -> None:
    with answering(Answering(statuses=[503, 503, 200])) as answers:
        waits: list[float] = []
        assert asked(tmp_path, answers, waits) == "" and len(waits) == 2
    assert "Quantum could not be asked" in asked(tmp_path, answers, waits) and len(waits) == 6


def test_503_for_ever_is_a_no(tmp_path: Path) -> None:
    with answering(Answering(statuses=[503], body=b'{"detail": "Safety cannot be asked."}')) as answers:
        assert asked(tmp_path, answers) == "Safety cannot be asked." and len(answers.asked) == 5


@pytest.mark.parametrize("missing", ["QUANTUM_GATEWAY", "QUANTUM_CREDENTIAL", "file"])
def test_without_a_credential_it_is_no(tmp_path: Path, missing: str) -> None:
    (tmp_path / "credential").write_text("x")
    environment = {"QUANTUM_GATEWAY": "http://127.0.0.1:9", "QUANTUM_CREDENTIAL": str(tmp_path / "credential")}
    environment.pop(missing, None)
    if missing == "file":
        (tmp_path / "credential").unlink()
    assert "no credential" in ask_to_move(environment, "c1", "0" * 40, "1" * 40)
