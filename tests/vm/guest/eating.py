"""Lies in the site-packages of a machine, and has a service of ours misbehave once a file says so.

`/run/user/<uid>/eat-<service>` holds `memory MIB` or `threads COUNT`; how far it came stands in `…/ate-<service>`.
"""

from __future__ import annotations

import os
import sys
import threading

_SERVICES = ("services.safety", "services.coordinator", "gateway")


def watch(service: str) -> None:
    """Wait for the file, and do what it says."""
    pause, folder = threading.Event(), f"/run/user/{os.getuid()}"
    asked, told = f"{folder}/eat-{service}", f"{folder}/ate-{service}"
    while not os.path.exists(asked):
        pause.wait(0.5)
    with open(asked) as file:
        what, count = file.read().split()
    os.unlink(asked)
    kept: list[object] = []
    for number in range(int(count)):
        if what == "memory":
            kept.append(bytes([1]) * (1 << 20))
        else:
            thread = threading.Thread(target=threading.Event().wait, daemon=True)
            try:
                thread.start()
            except RuntimeError:
                break
            kept.append(thread)
        if number % 50 == 49:
            tell(told, f"{number + 1}")
    tell(told, f"{len(kept)} over")
    threading.Event().wait()


def tell(path: str, text: str) -> None:
    """Whole, or not at all."""
    with open(f"{path}.part", "w") as file:
        file.write(text)
    os.rename(f"{path}.part", path)


for _name in _SERVICES:
    if sys.orig_argv[1:3] == ["-m", _name]:
        threading.Thread(target=watch, args=(_name.rpartition(".")[2],), daemon=True).start()
