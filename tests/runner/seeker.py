"""Looks everywhere it can for words that it is told, as an agent would that is after other people's secrets.

Environment and arguments of every process, descriptors, memory and roots of those that it is told of (and of all, where
it sees few), files below folders, keys of the kernel; it writes where it is told, and speaks to servers that it is told
of. One line for each thing that it should not have been able to do, and a last one that counts what it has looked at.
"""

from __future__ import annotations

import ctypes
import os
import socket
import stat
import sys

WORDS = [word.encode() for word in os.environ["SEEK"].split(",")]
FOLDERS = os.environ["SEEK_FOLDERS"].split(":")
FILE_BYTES_MAX = 1 << 22
MEMORY_BYTES_MAX = 1 << 26
FEW = 20
PTRACE_SEIZE = 0x4206
counts: dict[str, int] = {}
found: set[str] = set()
own = os.getpid()


def look(what: str, where: str, data: bytes) -> None:
    counts[what] = counts.get(what, 0) + 1
    for word in WORDS:
        # Turned round in the environment, so that this process itself does not hold the words.
        if word[::-1] in data:
            found.add(f"FOUND {what} {where} {word.decode()}")


def read(what: str, path: str) -> None:
    try:
        if stat.S_ISREG(os.stat(path).st_mode):
            with open(path, "rb", buffering=0) as file:
                look(what, path, file.read(FILE_BYTES_MAX))
    except (OSError, ValueError):
        counts["refused"] = counts.get("refused", 0) + 1


def below(what: str, top: str, depth: int = 8) -> None:
    try:
        with os.scandir(top) as entries:
            names = list(entries)
    except OSError:
        counts["refused"] = counts.get("refused", 0) + 1
        return
    for entry in names:
        if entry.is_dir(follow_symlinks=False):
            if depth:
                below(what, entry.path, depth - 1)
        else:
            read(what, entry.path)


def memory_by_file(pid: int) -> None:
    try:
        with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            left = MEMORY_BYTES_MAX
            for line in maps:
                span, rights = line.split()[:2]
                begin, end = (int(part, 16) for part in span.split("-"))
                if "rw" in rights and end - begin <= left:
                    left -= end - begin
                    memory.seek(begin)
                    look("mem", f"/proc/{pid}/mem", memory.read(end - begin))
    except (OSError, ValueError):
        counts["refused"] = counts.get("refused", 0) + 1


def memory_by_call(pid: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    # Not PTRACE_ATTACH, which could leave it stopped.
    if libc.ptrace(PTRACE_SEIZE, pid, 0, 0) == 0:
        found.add(f"FOUND ptrace {pid} attached")
    else:
        counts["refused"] = counts.get("refused", 0) + 1
    try:
        with open(f"/proc/{pid}/maps") as maps:
            begin = int(next(line for line in maps if "rw" in line).split("-")[0], 16)
    except (OSError, StopIteration):
        begin = 0x10000
    room = ctypes.create_string_buffer(4096)
    local, remote = (ctypes.c_void_p * 2)(ctypes.addressof(room), 4096), (ctypes.c_void_p * 2)(begin, 4096)
    if libc.process_vm_readv(pid, local, 1, remote, 1, 0) > 0:
        found.add(f"FOUND process_vm_readv {pid} read")
    else:
        counts["refused"] = counts.get("refused", 0) + 1


def told_pids() -> list[int]:
    return [int(text) for text in os.environ.get("SEEK_PIDS", "").split(",") if text]


def processes() -> None:
    pids = [int(name) for name in os.listdir("/proc") if name.isdecimal() and int(name) != own]
    counts["processes"] = len(pids)
    for pid in pids:
        for name in ("environ", "cmdline"):
            read(name, f"/proc/{pid}/{name}")
    # What cannot be seen may still be there.
    closely = set(told_pids()) | (set(pids) if len(pids) <= FEW else set())
    for pid in closely:
        try:
            for name in os.listdir(f"/proc/{pid}/fd"):
                read("fd", f"/proc/{pid}/fd/{name}")
        except OSError:
            counts["refused"] = counts.get("refused", 0) + 1
        for folder in FOLDERS:
            below("root", f"/proc/{pid}/root{folder}")
        memory_by_file(pid)
    for pid in told_pids():
        memory_by_call(pid)


def writes() -> None:
    for folder in FOLDERS:
        try:
            with open(f"{folder}/written-by-seeker", "w") as file:
                file.write("x")
            print(f"WROTE {folder}")
        except OSError:
            counts["refused"] = counts.get("refused", 0) + 1


def network() -> None:
    for port in os.environ.get("SEEK_PORTS", "").split(","):
        for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            try:
                with socket.socket(family) as one:
                    one.settimeout(2)
                    one.connect((address, int(port)))
                    print(f"REACHED {address}:{port}")
            except (OSError, ValueError):
                counts["refused"] = counts.get("refused", 0) + 1
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.connect("\0" + os.environ.get("SEEK_ABSTRACT", "none"))
            print("REACHED abstract")
    except OSError:
        counts["refused"] = counts.get("refused", 0) + 1


read("own", "/proc/self/environ")
processes()
for folder in FOLDERS:
    below("file", folder)
for path in ("/proc/keys", "/proc/key-users", "/proc/self/mountinfo", "/proc/1/environ"):
    read("kernel", path)
writes()
network()
for line in sorted(found):
    print(line)
print("LOOKED", " ".join(f"{what}={count}" for what, count in sorted(counts.items())))
sys.stdout.flush()
