"""Restricts itself by Landlock as its first argument says, gives up every right, and becomes the script.

`python -I -S landlock_start.py ORDER PROGRAM [ARGUMENT …]`, where ORDER is JSON: `read` and `write` (paths), `network`
(whether it stays). A file of its own, without imports of ours: it has to start quickly.
"""

from __future__ import annotations

import ctypes
import json
import os
import stat
import sys

FAILED = 125
_CREATE, _ADD, _RESTRICT = 444, 445, 446
_VERSION_FLAG = 1
_PATH_BENEATH = 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_TRUNCATE = 1 << 14
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
_MAKE_DEVICES = 1 << 6 | 1 << 11
# Rights on files that each version knows; below the third, a file that cannot be written could still be cut.
_KNOWN = {3: (1 << 15) - 1, 5: (1 << 16) - 1}
_ABI_MIN = 3
_ABI_SCOPED = 6
_ABSTRACT_SOCKETS, _SIGNALS = 1, 2
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_SET_NO_NEW_PRIVS, _CAPBSET_DROP, _CAP_AMBIENT, _AMBIENT_CLEAR = 38, 24, 47, 4
_CAPABILITY_VERSION = 0x20080522
_CAPABILITIES_MAX = 64
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1

_libc = ctypes.CDLL(None, use_errno=True)


class _Beneath(ctypes.Structure):
    """`struct landlock_path_beneath_attr`."""

    _pack_ = 1
    _fields_ = (("access", ctypes.c_uint64), ("parent", ctypes.c_int32))


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def version() -> int:
    """The version of Landlock in this kernel; below 1: none."""
    return int(_libc.syscall(_CREATE, None, ctypes.c_size_t(0), _VERSION_FLAG))


def restrict(read: list[str], write: list[str]) -> None:
    """From here on only these paths, and what lies below them, can be read or written."""
    abi = version()
    if abi < _ABI_MIN:
        raise OSError(f"Landlock of this kernel is too old ({abi}, and {_ABI_MIN} is needed)")
    handled = _KNOWN[5] if abi >= 5 else _KNOWN[3]
    scoped = _ABSTRACT_SOCKETS | _SIGNALS if abi >= _ABI_SCOPED else 0
    attributes = (ctypes.c_uint64 * 3)(handled, 0, scoped)
    size = ctypes.c_size_t(24 if abi >= _ABI_SCOPED else 8)
    rules = _checked(_libc.syscall(_CREATE, attributes, size, 0), "Landlock")
    for paths, rights in ((read, _READ), (write, handled & ~_MAKE_DEVICES)):
        for path in paths:
            _allow(rules, path, rights)
    _checked(_libc.syscall(_RESTRICT, rules, 0), "Landlock")
    os.close(rules)


def _allow(rules: int, path: str, rights: int) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        # It has gone since it was listed, or cannot be entered: nothing is granted there.
        return
    try:
        if os.readlink(f"/proc/self/fd/{handle}") != path:
            # A link, or by now behind one: what it leads to is granted by its own name, or not at all.
            return
        if not stat.S_ISDIR(os.fstat(handle).st_mode):
            rights &= _OF_FILES
        rule = _Beneath(rights, handle)
        _checked(_libc.syscall(_ADD, rules, _PATH_BENEATH, ctypes.byref(rule), 0), path)
    finally:
        os.close(handle)


def leave_network() -> None:
    """From here on there is nothing but a loopback of its own."""
    uid, gid = os.geteuid(), os.getegid()
    alone = _CLONE_NEWNET if uid == 0 else _CLONE_NEWNET | _CLONE_NEWUSER
    _checked(_libc.unshare(alone), "a network of its own")
    if uid:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    handle = _checked(_libc.socket(2, 2, 0), "a socket")
    order = ctypes.create_string_buffer(b"lo".ljust(16, b"\0") + _IFF_UP.to_bytes(2, sys.byteorder), 40)
    _checked(_libc.ioctl(handle, _SIOCSIFFLAGS, order), "loopback")
    os.close(handle)


def give_up_rights() -> None:
    """No capability is left, and none can be had again."""
    _checked(_libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    _libc.prctl(_CAP_AMBIENT, _AMBIENT_CLEAR, 0, 0, 0)
    for capability in range(_CAPABILITIES_MAX):
        # Fails where the number is unknown or the right to drop is not there, and then there is none to drop.
        _libc.prctl(_CAPBSET_DROP, capability, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    _checked(_libc.capset(header, (ctypes.c_uint32 * 6)()), "capabilities")


def main(order: str, program: str, arguments: list[str]) -> None:
    """Does not return."""
    wanted = json.loads(order)
    if not wanted["network"]:
        leave_network()
    give_up_rights()
    restrict(wanted["read"], wanted["write"])
    os.execv(program, [program, *arguments])


if __name__ == "__main__":
    try:
        main(sys.argv[1], sys.argv[2], sys.argv[3:])
    except OSError as error:
        print(f"landlock: {error}", file=sys.stderr)
        sys.exit(FAILED)
