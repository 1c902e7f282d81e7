"""Idioms of scripts that people really run: what each is, and what is and is not wrong with it."""

# ruff: noqa: E501 - lines of shell stand here as they are

from __future__ import annotations

from pathlib import Path

import pytest

from cli.adopting.observing import Observation, observe
from cli.adopting.reading import ScriptFile

SHIM = """\
        #!/usr/bin/env bash
        # Auto-injected health & reliability shim

        DIR="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
if [[ -f "$DIR/shared.sh" ]]; then
  source "$DIR/shared.sh"
fi
if [[ "${1-}" == "--health" ]]; then
  printf '{"ok":true}\\n'
  exit 0
fi
# Original agent script continues below
#!/bin/bash
# Looks after the others
"""


def seen(text: str, name: str = "agent_x.sh") -> Observation:
    """One script, as it is observed."""
    data = text.encode()
    return observe(
        ScriptFile(
            path=Path("/nowhere", name), shown=name, data=data, size=len(data), mode=0o755, sha256=str(hash(data))
        )
    )


def codes(text: str, name: str = "agent_x.sh") -> set[tuple[str, int]]:
    """What is wrong with it, and where."""
    return {(finding.code, finding.line) for finding in seen(text, name).findings}


def bash(*lines: str) -> str:
    """A script in bash; the first of these lines is line 2."""
    return "\n".join(["#!/bin/bash", *lines, ""])


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (bash("while true; do", "  work", '  sleep "${EVERY}"', "done"), "service"),
        (bash("main() {", "  while :; do", "    sleep 5", "  done", "}", 'main "$@"'), "service"),
        (bash("main() {", "  while :; do", "    sleep 5", "  done", "}"), "helper"),
        (bash("while true; do", "  ready && break", "  sleep 1", "done"), "task"),
        (bash("poll() {", "  while true; do", "    ok && return 0", "    sleep 1", "  done", "}", "poll"), "task"),
        (bash("while true; do", "  for x in a b; do", "    break", "  done", "  sleep 1", "done"), "service"),
        (bash("start() {", "  (", "    while true; do", "      sleep 15", "    done", "  ) &", "}", "start"), "task"),
        (bash("while true; do", "  sleep 15", "done &", "wait"), "service"),
        (bash("python3 - <<'EOF'", "while True:", "    pass", "EOF"), "task"),
        (bash("until false; do sleep 1; done"), "service"),
        (bash("while read -r line; do", '  echo "$line"', "done < /etc/hosts"), "task"),
        (SHIM + "pause() {\n  sleep 1\n}\nexport -f pause\n", "helper"),
        (bash('log() { echo "[$(date)] $*"; }'), "helper"),
        (bash('log() { echo "[$(date)] $*"; }', 'echo "$(date)"'), "task"),
        ("#!/usr/bin/env python3\nimport time\nwhile True:\n    time.sleep(5)\n", "service"),
        ("#!/usr/bin/env python3\nfrom x import S\nS(('', 80)).serve_forever()\n", "service"),
        ("#!/usr/bin/env python3\nfrom x import S, T\ns = S()\nT(target=lambda: s.serve_forever()).start()\n", "task"),
        ("#!/usr/bin/env python3\nfrom x import S, T\ndef go():\n    S().run_forever()\nT(target=go).start()\n", "task"),
        ("#!/usr/bin/env python3\ndef each():\n    while True:\n        x = yield\n        print(x)\nprint(each)\n", "task"),
        ("#!/usr/bin/env python3\nimport time\ntry:\n    while True:\n        time.sleep(1)\nexcept KeyboardInterrupt:\n    pass\n", "service"),
    ],
)  # fmt: skip
def test_what_it_is(text: str, kind: str) -> None:
    assert seen(text).kind == kind


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        # A shim before the script itself, as a tool has put it into every agent of a folder.
        (SHIM.split("\n")[1:], {("shebang-late", 1)}),
        # One command of several wants arguments; called without any, it does not.
        (['case "${1:-help}" in', "add)", "  if [ $# -lt 2 ]; then", "    exit 1", "  fi", "  ;;", "esac"], set()),
        (["if [ $# -lt 2 ]; then", '  echo "usage"', "  exit 1", "fi"], {("needs-arguments", 4)}),
        (['[ $# -eq 0 ] && usage'], {("needs-arguments", 2)}),
        # Another shell or more rights, and then the same again: once.
        (['if [[ -z ${BASH_VERSION} ]]; then', '  exec bash "$0" "$@"', "fi"], set()),
        (['nohup "$AGENT_SCRIPT" >>x.log 2>&1 &'], {("restarts-others", 2)}),
        (['bash "${SCRIPT_DIR}/${agent_name}" &'], {("restarts-others", 2)}),
        (["sleep 5 &", "wait"], set()),
        (["trap 'pkill -f worker; exit 0' SIGTERM"], {("kill-by-name", 2)}),
        (['pkill -TERM -P "$child"'], set()),
        (['if ! pgrep -f "agent" >/dev/null; then', "  echo down", "fi"], set()),
        (['pid=$(cat "$PID_FILE")', 'if kill -0 "$pid"; then', '  kill "$pid"', "fi"], {("pid-file", 4)}),
        (['STATUS_FILE="$(dirname "$0")/agent_status.json"', 'jq . "$STATUS_FILE" >"$STATUS_FILE.tmp" && mv "$STATUS_FILE.tmp" "$STATUS_FILE"'], {("state-edited", 3)}),
        (['STATUS_FILE="$(dirname "$0")/agent_status.json"', 'cp "$STATUS_FILE" "$STATUS_FILE.kept"', 'jq . "$STATUS_FILE"'], set()),
        (["python3 -c \"", "import json", "with open('task_queue.json', 'w') as f:", "    json.dump({}, f)", '"'], {("state-edited", 2)}),
        (["python3 -c \"", "import json", "print(json.load(open('task_queue.json')))", '"'], set()),
        (["python3 <<EOF", "x = open('/Users/ann/a').read()", "EOF"], {("home-path", 3)}),
        (["cat >&2 <<EOF", "x = open('/Users/ann/a').read()", "EOF"], set()),
        (['update_agent_status "agent_x.sh" "running" $$ ""'], {("state-edited", 2)}),
        (["update_agent_status() {", '  echo "$1"', "}", 'update_agent_status "agent_x.sh"'], set()),
        (["if command -v vm_stat >/dev/null; then", "  vm_stat", "fi"], set()),
        (['if [[ "$(uname)" == "Darwin" ]]; then', "  osascript -e beep", "fi"], set()),
        (["size=$(stat -f%z x 2>/dev/null || stat -c%s x)"], set()),
        (["size=$(stat -f%z x)"], {("macos-only", 2)}),
        (["say() {", '  echo "$1"', "}", "say hello"], set()),
        (['gh auth login --with-token <<<"$GITHUB_TOKEN"'], {("secret-from-env", 2)}),
        (['rm -rf "${DIR:?}/x"', 'rm -rf "${HOME}/.cache/x"'], set()),
        (['[[ -n "$D" ]] || exit 1', 'rm -rf "$D/"'], set()),
        (['clean() {', '  local d="$1"', '  rm -rf "$d/"', "}", "clean x"], {("rm-unguarded", 4)}),
        (['x=$((1 << 3))', 'echo "${x#a}" # pkill -f b'], set()),
        (["echo 'it'\\''s /Users/ann/x'", "grep -c '/Users/' list"], set()),
        (['curl -s http://localhost:5005/health | python3 -c "import sys, json; print(json.load(sys.stdin))"'], {("port-fixed", 2)}),
        (['MCP_URL="${MCP_URL:-http://localhost:5005}"', 'curl -s "$MCP_URL"'], set()),
        (['Q="$DIR/task_queue.json"', "python3 - \"$Q\" <<'PY'", "import json, sys", "json.dump({}, open(sys.argv[1], 'w'))", "PY"], {("state-edited", 4)}),
        (['Q="$DIR/task_queue.json"', "python3 - \"$Q\" <<'PY'", "import json, sys", "print(json.load(open(sys.argv[1])))", "PY"], set()),
        (["# Marks something for another script", "exit 0"], {("empty", 0)}),
        (["ask() {", "  read -r answer", "}", "ask </etc/hosts"], set()),
        (["ask() {", '  read -rp "Sure? " answer', "}", "ask"], {("asks-a-person", 3)}),
        (["select x in a b; do", "  break", "done"], {("asks-a-person", 2)}),
        (["curl -fsSL x | jq .", "echo 'curl x | sh'"], set()),
        (["chmod 755 x; chmod +x y; chmod 644 z; chmod u+w a"], set()),
        (["find . -name '*.log' -exec rm -rf {} +", "git reset HEAD~1", "git checkout -b x", "git clean -n"], set()),
    ],
)  # fmt: skip
def test_what_is_wrong_with_it(lines: list[str], expected: set[tuple[str, int]]) -> None:
    text = SHIM if expected == {("shebang-late", 1)} else bash(*lines)
    assert codes(text) == expected


@pytest.mark.parametrize(
    ("text", "description"),
    [
        (SHIM, "Looks after the others"),
        (bash("", "# Source shared functions", "source x", "# Search Agent: Handles search and indexing"), "Search Agent: Handles search and indexing"),
        (bash("#########", "# Copyright 2020 Ann", "#", "# Cleans what is old"), "Cleans what is old"),
        ('#!/usr/bin/env python3\n"""Counts things.\n\nAnd more."""\nprint(1)\n', "Counts things."),
        (bash("set -eu", "echo no comment"), ""),
    ],
)  # fmt: skip
def test_what_it_says_of_itself(text: str, description: str) -> None:
    assert seen(text).description == description


def test_what_it_needs() -> None:
    one = seen(bash(
        'PROJECT="${PROJECT_NAME:-Habit}"', "SLEEP=300 # five minutes", "awk '{ print $NF, $FOO }' x",
        'echo "$HOME $LOG_LEVEL"', 'timeout 600 make "$PROJECT"',
        "ollama run llama3 hi", 'curl -s https://api.openai.com/v1 -H "Authorization: Bearer $OPENAI_API_KEY"',
    ))  # fmt: skip
    assert (one.env, one.uses, one.timeout_seconds) == (
        ("LOG_LEVEL", "PROJECT_NAME"),
        ("cloud:ollama", "cloud:openai"),
        600,
    )
    assert one.effects == ""
    assert seen(bash("df -h | tail -1", "date")).effects == "none"
    assert seen(bash("mkdir -p /tmp/x", "date")).effects == "idempotent"
    assert seen(bash("df -h >x")).effects == ""


def test_the_port_of_an_address_is_seen() -> None:
    lines = ["#!/usr/bin/env python3", "from http.server import HTTPServer", "HTTPServer(('0.0.0.0', 5005), None)", ""]
    assert ("port-fixed", 3) in codes("\n".join(lines), "server.py")
    assert not codes("\n".join(lines).replace("5005", "0"), "server.py")
