"""hello: the template does what the page says it does."""

from __future__ import annotations

from tests.agents.conftest import RunAgent


def test_says_hello_and_reports(run_agent: RunAgent) -> None:
    ended = run_agent("hello.sh", {"name": "Ada"})
    assert ended.exit_code == 0
    assert "Hello from hello" in ended.output and '{"name": "Ada"}' in ended.output
    assert ended.report == {"type": "hello", "project": "Sample", "summary": "Said hello", "data": {}}
