"""Makes a folder of scripts as people have them, most of them in order, with defects planted in known places."""

# ruff: noqa: E501 - lines of shell stand here as they are

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

SCRIPTS, PLANTED, KINDS_MIN = 200, 40, 25
NOUNS = ("index", "report", "cache", "mail", "graph", "photo", "ticket", "invoice", "lint", "metric", "feed", "badge")
VERBS = ("refresh", "collect", "verify", "rotate", "notify", "convert", "upload", "measure", "sort", "merge", "watch")


@dataclass
class Scene:
    """A script that is being made: its name and lines; what is planted adds to `bytes_of` and `mode`."""

    name: str
    suffix: str
    lines: list[str]
    mode: int = 0o755
    folder: str = ""
    wrap: Callable[[bytes], bytes] = bytes
    link_to: str = ""

    @property
    def shown(self) -> str:
        """Its path below the folder."""
        return str(Path(self.folder, self.name + self.suffix))

    def add(self, *lines: str) -> int:
        """Put lines of code at the end; the number of the first."""
        self.lines += lines
        return len(self.lines) - len(lines) + 1

    def write(self, root: Path) -> None:
        """Make it."""
        path = root / self.shown
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.link_to:
            os.symlink(self.link_to, path)
            return
        path.write_bytes(self.wrap("".join(f"{line}\n" for line in self.lines).encode()))
        path.chmod(self.mode)


@dataclass
class Planted:
    """A folder with all that is wrong in it: script, code and line, 0 for the file as a whole."""

    scenes: list[Scene]
    expected: set[tuple[str, str, int]] = field(default_factory=set)
    plantings: list[str] = field(default_factory=list)

    def write(self, root: Path) -> None:
        """Make every file."""
        for scene in self.scenes:
            scene.write(root)


# -- scripts in order, many of which look as if they were not


def _plain(name: str) -> list[str]:
    return [
        "#!/usr/bin/env bash",
        f"# Does the work of {name} once",
        "set -euo pipefail",
        f'echo "{name} done" >>"${{TMPDIR:-/tmp}}/{name}.log"',
    ]


def _posix(name: str) -> list[str]:
    return [
        "#!/bin/sh",
        f"# Says what {name} found",
        "set -eu",
        f'printf "%s\\n" "{name}"',
        "# pkill -f everything would be wrong here",
    ]


def _loop(name: str) -> list[str]:
    return [
        "#!/bin/bash", f"# Keeps {name} fresh", 'trap "exit 0" TERM INT', "while true; do",
        f'  echo "[$(date)] {name}"', "  sleep 300", "done",
    ]  # fmt: skip


def _documented(name: str) -> list[str]:
    return [
        "#!/bin/bash", f"# Helps with {name}: see /Users/ann/notes.txt and git reset --hard in the manual", "set -eu",
        "cat <<'USAGE'", f"usage: {name} [--all]", "  while true; do pkill -f agent; rm -rf $DIR/; done",
        "  sudo reboot; curl http://x | sh; kill $(cat x.pid); listens on 127.0.0.1:5005", "USAGE",
        'echo "never run git clean -fdx in /home/bob/src"',
    ]  # fmt: skip


def _guarded(name: str) -> list[str]:
    return [
        "#!/bin/bash", f"# Clears what {name} left", "set -euo pipefail", f"OUT=/tmp/{name}-out", 'rm -rf "$OUT/old"',
        ': "${BUILD_DIR:?}"', 'rm -rf "$BUILD_DIR/cache"', "work=$(mktemp -d)", 'rm -rf "$work/part"',
        'if [[ "$(uname)" == "Darwin" ]]; then', "  sed -i '' 's/a/b/' \"$OUT/x\"", "else", "  sed -i 's/a/b/' \"$OUT/x\"", "fi",
    ]  # fmt: skip


def _waiting(name: str) -> list[str]:
    return [
        "#!/bin/bash", f"# Waits for {name}", "set -u", "tries=0", "while true; do",
        f'  [ -e "/tmp/{name}.ready" ] && break', "  tries=$((tries + 1))", "  if ((tries > 5)); then exit 75; fi", "  sleep 1", "done",
        "while IFS= read -r line; do", '  echo "$line"', f"done <\"/tmp/{name}.ready\"", "sleep 2 &", "child=$!", 'kill "$child"', 'wait "$child" || true',
    ]  # fmt: skip


def _defaults(name: str) -> list[str]:
    return [
        "#!/bin/bash", f"# Asks the gateway about {name}", "set -eu", 'URL="${MCP_URL:-http://127.0.0.1:5005}"', 'case "${1:-status}" in',
        f'status) curl -s "$URL/health" | grep -c {name} || true ;;', '*) echo "usage: $0 {status}" ;;', "esac",
        'API_TOKEN="your-token-goes-here"', "export API_TOKEN", "git reset --soft HEAD~1", "git push --force-with-lease origin topic",
    ]  # fmt: skip


def _helped(name: str) -> list[str]:
    return [
        "#!/bin/bash", f"# Uses what the others use, for {name}", 'SCRIPT_DIR="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"',
        'source "${SCRIPT_DIR}/lib_shared.sh"', 'if [[ -f "${SCRIPT_DIR}/maybe.sh" ]]; then', '  source "${SCRIPT_DIR}/maybe.sh"', "fi",
        f'say_it "{name}"', "awk '{ print $1, $2 }' /etc/hostname", 'main() {', f'  echo "{name} $1"', "}", 'main "$@"',
    ]  # fmt: skip


def _python(name: str) -> list[str]:
    return [
        "#!/usr/bin/env python3", f'"""Counts what {name} made; once it lay in /Users/ann/old, and called os.system("pkill x")."""', "import os",
        "import sys", "", "", "def main() -> int:", f'    print("{name} lies in /home/bob on the old machine", file=sys.stderr)',
        '    port = int(os.environ.get("PORT", "5005"))', f'    for number, line in enumerate(["{name}"]):', "        print(number, line, port)",
        "    return 0", "", "", 'if __name__ == "__main__":', "    sys.exit(main())",
    ]  # fmt: skip


def _python_loop(name: str) -> list[str]:
    return [
        "#!/usr/bin/env python3", f'"""Follows {name}."""', "import time", "", "", "def step() -> None:", f'    print("{name}")', "",
        "while True:", "    # input() would wait for ever here", "    step()", "    time.sleep(60)",
    ]  # fmt: skip


CLEAN = ((_plain, ".sh"), (_posix, ".sh"), (_loop, ".sh"), (_documented, ".sh"), (_guarded, ".sh"), (_waiting, ".sh"),
         (_defaults, ".sh"), (_helped, ".sh"), (_python, ".py"), (_python_loop, ".py"))  # fmt: skip
HELPER = ["#!/bin/bash", "# What the others use", "say_it() {", '  echo "$1"', "  return 0", "  : end", "}"]

# -- what is planted: one line of shell or Python, and the code that it must get

SHELL_LINES: dict[str, tuple[str, ...]] = {
    "home-path": ("cp /Users/ann/Desktop/list.txt /tmp/", 'cd "/home/bob/work" || exit 1', "LOG=/Users/ann/x.log"),
    "kill-by-name": ("pkill -f agent_build", "killall node", 'kill -9 $(pgrep -f "agent.sh")', "pgrep -f worker | xargs kill"),
    "kill-by-port": ("lsof -ti:5005 | xargs kill -9", "kill $(lsof -t -i :8080)", "fuser -k 8080/tcp"),
    "pid-file": ('kill "$(cat /tmp/agent.pid)"', "echo $$ >/tmp/agent.pid"),
    "git-destroys": ("git reset --hard HEAD~1", "git clean -fdx", "git checkout -- .", "git push --force origin main"),
    "rm-unguarded": ('TARGET="$(some_tool)"; rm -rf "$TARGET/"', 'WHERE=""; rm -rf $WHERE/cache'),
    "state-edited": (
        "echo '[]' >task_queue.json", 'STATE=agent_status.json; mv /tmp/new.json "$STATE"', "sed -i.x 's/a/b/' task_queue.json",
    ),
    "port-fixed": ("curl -s http://localhost:5005/health", "PORT=8080", "python3 -m http.server 8000"),
    "plain-secret": ('TOKEN="ghp_0123456789abcdefABCDEF0123456789abcd"', 'API_KEY="q7Zx92LmPw4RtY81KdVb"'),
    "secret-from-env": ('echo "${OPENAI_API_KEY}" >/dev/null',),
    "paid-api": ("curl -s https://api.openai.com/v1/models", "curl -s https://api.anthropic.com/v1/messages"),
    "busy-loop": ("while :; do true; done", "for ((;;)); do : $((x++)); done"),
    "restarts-itself": ('nohup "$0" >/dev/null 2>&1 &', 'exec "$0" "$@"'),
    "restarts-others": ("launchctl load /tmp/x.plist", "nohup ./agent_other.sh >/dev/null 2>&1 &", "systemctl --user restart x", "pm2 start x"),
    "leaves-running": ("nohup tail -f /dev/null >/dev/null 2>&1 &", "setsid tail -f /dev/null", "tmux new-session -d -s x"),
    "asks-a-person": ('read -p "Go on? " answer', "read -r answer"),
    "needs-root": ("sudo touch /etc/x",),
    "needs-arguments": ('if [[ $# -lt 1 ]]; then exit 2; fi', 'echo "${1:?which}"'),
    "runs-download": ("curl -fsSL https://example.org/install | bash", 'bash -c "$(curl -fsSL https://example.org/i)"'),
    "world-writable": ("chmod 777 /tmp/x", "chmod -R a+rwx /tmp/x"),
    "tls-off": ("curl -sk https://example.org", "wget --no-check-certificate https://example.org"),
    "macos-only": ("echo hi | pbcopy", "osascript -e 'beep'", "sed -i '' 's/a/b/' /tmp/x"),
    "gnu-only": ("stat -c %s /tmp/x", "date -d yesterday +%F", "grep -P 'a(?=b)' /tmp/x"),
    "source-missing": ('source "$(dirname "$0")/gone_helper.sh"',),
    "reads-own-lines": ('sed -n "2,9p" "$0"',),
}  # fmt: skip
ALSO = {"launchctl load /tmp/x.plist": ("macos-only",)}
"""Lines that are wrong in another way too."""
PYTHON_LINES: dict[str, tuple[str, ...]] = {
    "home-path": ('LOG = open("/Users/ann/Desktop/x.log")',),
    "kill-by-name": ('import subprocess; subprocess.run(["pkill", "-f", "agent"])',),
    "git-destroys": ('import os; os.system("git reset --hard HEAD~1")',),
    "state-edited": ('import json; json.dump({}, open("agent_status.json", "w"))',),
    "plain-secret": ('KEY = "sk-abcdEFGH0123456789ijklMNOP4567"',),
    "paid-api": ("import openai",),
    "asks-a-person": ('answer = input("Go on? ")',),
    "tls-off": ('import requests; requests.get("https://example.org", verify=False)',),
    "busy-loop": ("while True: pass",),
}


def planted_folder(seed: int) -> Planted:
    """200 scripts of which 40 have something planted, of 25 kinds at least; the same for the same seed."""
    dice = random.Random(seed)
    names = [f"{verb}-{noun}{number}" for verb in VERBS for noun in NOUNS for number in ("", "-2")]
    dice.shuffle(names)
    scenes = []
    for name in names[: SCRIPTS - 1]:
        make, suffix = dice.choice(CLEAN)
        scenes.append(Scene(name, suffix, make(name)))
    scenes.append(Scene("lib_shared", ".sh", list(HELPER)))
    planted = Planted(scenes)
    codes = [*SHELL_LINES, *_SPECIAL]
    wanted = dice.sample(codes, len(codes))
    wanted += [dice.choice([*SHELL_LINES, *PYTHON_LINES]) for _ in range(PLANTED)]
    free = [scene for scene in scenes if scene.name != "lib_shared"]
    dice.shuffle(free)
    for code in wanted[:PLANTED]:
        planted.plantings.append(code)
        if code in _SPECIAL:
            _SPECIAL[code](planted, free, dice)
        else:
            _plant_line(planted, free, dice, code)
    assert len(set(planted.plantings)) >= KINDS_MIN and len(planted.plantings) == PLANTED
    return planted


def _take(free: list[Scene], *makers: Callable[[str], list[str]]) -> Scene:
    """A script that has nothing planted yet, of these makers."""
    suffixes = {suffix for maker, suffix in CLEAN if maker in makers}
    scene = next(one for one in free if one.suffix in suffixes)
    free.remove(scene)
    suffix = scene.suffix
    scene.lines = next(maker for maker, known in CLEAN if maker in makers and known == suffix)(scene.name)
    return scene


def _plant_line(planted: Planted, free: list[Scene], dice: random.Random, code: str) -> None:
    python = code in PYTHON_LINES and dice.random() < 0.3
    scene = _take(free, _python) if python else _take(free, _plain)
    if python:
        line = dice.choice(PYTHON_LINES[code])
        scene.lines.insert(4, line)
        planted.expected.add((scene.shown, code, 5))
        return
    line = dice.choice(SHELL_LINES[code])
    at = scene.add(line)
    planted.expected |= {(scene.shown, each, at) for each in (code, *ALSO.get(line, ()))}


def _file_level(
    code: str, line: int, change: Callable[[Scene], None]
) -> Callable[[Planted, list[Scene], random.Random], None]:
    def plant(planted: Planted, free: list[Scene], dice: random.Random) -> None:
        scene = _take(free, _plain)
        change(scene)
        planted.expected.add((scene.shown, code, line))

    return plant


def _clash(planted: Planted, free: list[Scene], dice: random.Random) -> None:
    first, second = _take(free, _plain), _take(free, _plain)
    second.name, second.folder = first.name, "more"
    planted.expected |= {(one.shown, "name-clash", 0) for one in (first, second)}


def _alias(planted: Planted, free: list[Scene], dice: random.Random) -> None:
    first, second = _take(free, _plain), _take(free, _plain)
    second.name = f"agent_{first.name}"
    planted.expected.add((second.shown, "alias-clash", 0))


def _copied(planted: Planted, free: list[Scene], dice: random.Random) -> None:
    for _ in range(3):
        scene = _take(free, _plain)
        at = scene.add(
            "write_log() {", '  local text="$1"', '  printf "%s\\n" "$text"', "  return 0", "}", "write_log hello"
        )
        planted.expected.add((scene.shown, "copied-function", at))


def _twins(planted: Planted, free: list[Scene], dice: random.Random) -> None:
    first, second = _take(free, _plain), _take(free, _plain)
    second.lines = list(first.lines)
    planted.expected |= {(one.shown, "identical-copy", 0) for one in (first, second)}


def _backup(planted: Planted, free: list[Scene], dice: random.Random) -> None:
    scene = _take(free, _plain)
    scene.suffix = dice.choice([".sh.bak", " 2.sh", ".sh.backup.20251120_160457", " copy.sh", ".sh.old"])
    planted.expected.add((scene.shown, "backup-copy", 0))


def _bad_name(scene: Scene) -> None:
    scene.name = scene.name.replace("-", "_").title() + "Ä"


def _fixed(text: list[str]) -> Callable[[Scene], None]:
    def change(scene: Scene) -> None:
        scene.lines = [*text, f"# {scene.name}", f"echo {scene.name}"]

    return change


def _wrapped(wrap: Callable[[bytes], bytes]) -> Callable[[Scene], None]:
    def change(scene: Scene) -> None:
        scene.wrap = wrap

    return change


def _link(to: str) -> Callable[[Scene], None]:
    def change(scene: Scene) -> None:
        scene.link_to = to

    return change


def _renamed(name: str) -> Callable[[Scene], None]:
    def change(scene: Scene) -> None:
        scene.name = name

    return change


def _not_executable(scene: Scene) -> None:
    scene.mode = 0o644


def _unclosed(scene: Scene) -> None:
    scene.add("if true; then", "  echo open")


def _nothing(scene: Scene) -> None:
    scene.lines = ["#!/bin/bash", f"# {scene.name}"]


_Plant = Callable[[Planted, list[Scene], random.Random], None]
_SPECIAL: dict[str, _Plant] = {
    "shebang-missing": _file_level("shebang-missing", 1, _fixed([])),
    "shebang-late": _file_level("shebang-late", 3, _fixed(["", "", "   #!/bin/sh"])),
    "byte-order-mark": _file_level("byte-order-mark", 1, _wrapped(lambda data: b"\xef\xbb\xbf" + data)),
    "windows-lines": _file_level("windows-lines", 1, _wrapped(lambda data: data.replace(b"\n", b"\r\n"))),
    "not-executable": _file_level("not-executable", 0, _not_executable),
    "not-utf8": _file_level("not-utf8", 5, _wrapped(lambda data: data + b"echo caf\xe9\n")),
    "not-text": _file_level("not-text", 0, _wrapped(lambda data: b"\x7fELF\0\0\1" + data)),
    "too-large": _file_level("too-large", 0, _wrapped(lambda data: data + (b"# filler " * 100 + b"\n") * 1_400)),
    "empty": _file_level("empty", 0, _nothing),
    "link-broken": _file_level("link-broken", 0, _link("nowhere.sh")),
    "link-outside": _file_level("link-outside", 0, _link("/etc/hostname")),
    "interpreter-missing": _file_level("interpreter-missing", 1, _fixed(["#!/opt/none/bin/ruby9"])),
    "syntax-error": _file_level("syntax-error", 7, _unclosed),
    "bash-in-sh": _file_level("bash-in-sh", 2, _fixed(["#!/bin/sh", "list=(a b)"])),
    "name-illegal": _file_level("name-illegal", 0, _bad_name),
    "hides-builtin": _file_level("hides-builtin", 0, _renamed("agent_build")),
    "name-clash": _clash,
    "alias-clash": _alias,
    "copied-function": _copied,
    "identical-copy": _twins,
    "backup-copy": _backup,
}  # fmt: skip
