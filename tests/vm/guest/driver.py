"""The guest's side of the line: one JSON document per line, a command to be run, and what came of it.

    {"id": 1, "argv": [...], "as": "root" | "user" | "session", "user": "ann", "timeout": 60, "input": "", "live": true}
    {"id": 1, "line": "..."}                               with "live": each line of standard output at once
    {"id": 1, "code": 0, "out": "...", "err": "..."}       code 124: it took too long and was killed

`root` and `user` are plain processes of the machine; nobody is logged in by them. `session` is a login, by PAM.
Needs nothing but Python; it runs before and beside everything else.
"""

from __future__ import annotations

import json
import os
import pwd
import signal
import subprocess
import threading
import tty
from typing import IO, Any

WRITING = threading.Lock()
PORTS = ("/dev/virtio-ports/driver", "/dev/ttyS0")


def main() -> None:
    """Answer until the machine ends."""
    line = os.open(next(port for port in PORTS if os.path.exists(port)), os.O_RDWR | os.O_NOCTTY)
    if os.isatty(line):
        tty.setraw(line)
    os.write(line, b"\n")
    with open("/proc/sys/kernel/random/boot_id") as file:
        say(line, {"id": 0, "boot": file.read().strip()})
    with os.fdopen(os.dup(line), "rb", buffering=0) as asked:
        kept = b""
        while True:
            data = asked.read(65536)
            if not data:  # nobody is at the other end
                threading.Event().wait(0.2)
                continue
            *whole, kept = (kept + data).split(b"\n")
            for text in whole:
                threading.Thread(target=answer, args=(line, json.loads(text)), daemon=True).start()


def say(line: int, document: dict[str, Any]) -> None:
    """One document, whole."""
    data = json.dumps(document).encode() + b"\n"
    with WRITING:
        while data:
            data = data[os.write(line, data) :]


def answer(line: int, asked: dict[str, Any]) -> None:
    """Run one command and tell its end."""
    try:
        told = run(line, asked)
    except Exception as error:  # noqa: BLE001 - whatever it was, the host is told
        told = {"code": 125, "out": "", "err": repr(error)}
    say(line, {"id": asked["id"], **told})


def run(line: int, asked: dict[str, Any]) -> dict[str, Any]:
    """See the module."""
    user = pwd.getpwnam(asked["user"])
    environ = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LANG": "C.UTF-8"}
    argv, home = asked["argv"], asked.get("cwd") or "/"
    if asked["as"] == "user":
        environ |= {"HOME": user.pw_dir, "USER": user.pw_name, "XDG_RUNTIME_DIR": f"/run/user/{user.pw_uid}"}
        argv = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--init-groups", *argv]
        home = asked.get("cwd") or user.pw_dir
    elif asked["as"] == "session":
        where = asked.get("cwd") or user.pw_dir
        login = ["--pipe", "--wait", "--quiet", "--collect", f"--uid={user.pw_name}", "--property=PAMName=login"]
        argv = ["systemd-run", *login, f"--working-directory={where}", "--", *argv]
    child = subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=environ,
        cwd=home,
        start_new_session=True,
    )
    errors: list[str] = []
    lines: list[str] = []

    def hear(stream: IO[str], kept: list[str], live: bool) -> None:
        for one in stream:
            kept.append(one)
            if live:
                say(line, {"id": asked["id"], "line": one.rstrip("\n")})

    hearing = [
        threading.Thread(target=hear, args=(child.stdout, lines, asked.get("live", False)), daemon=True),
        threading.Thread(target=hear, args=(child.stderr, errors, False), daemon=True),
    ]
    for thread in hearing:
        thread.start()
    if child.stdin is not None:
        try:
            child.stdin.write(asked.get("input", ""))
            child.stdin.close()
        except BrokenPipeError:
            errors.append("it did not read what it was given\n")
    try:
        code = child.wait(asked["timeout"])
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        code = 124
    for thread in hearing:
        thread.join(5)  # what went on by itself may hold the pipe open
    return {"code": code, "out": "".join(lines), "err": "".join(errors)}


if __name__ == "__main__":
    main()
