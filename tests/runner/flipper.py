"""Puts a folder and a link that leads elsewhere in each other's place, again and again: `flipper.py FOLDER LINK GO`.

It goes on as long as the file GO is there, and prints how often it did it.
"""

from __future__ import annotations

import ctypes
import os
import sys

_AT_FDCWD, _EXCHANGE = -100, 2


def main(folder: str, link: str, go: str) -> None:
    """Both stay there at every moment: the kernel exchanges them in one step."""
    libc = ctypes.CDLL(None, use_errno=True)
    one, other = os.fsencode(folder), os.fsencode(link)
    flips = 0
    while os.path.exists(go):
        if libc.renameat2(_AT_FDCWD, one, _AT_FDCWD, other, _EXCHANGE):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        flips += 1
        # Long enough for a look, too short for a start.
        for _ in range(2_000):
            pass
    print(flips)


if __name__ == "__main__":
    main(*sys.argv[1:])
