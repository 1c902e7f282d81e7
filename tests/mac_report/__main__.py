"""`make mac-report`: tries on a Mac whatever was designed and not run, and writes one file to send back.

    python -m tests.mac_report [--out FILE] [--only NAME]…

Everything happens in a throwaway workspace below the temporary folder, with keychain entries and launchd jobs of its
own, which are removed at the end. The file holds no secret, no name of the user and none of the machine. Elsewhere than
on a Mac each item that needs one says so, and the others are tried.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.mac_report.items import ITEMS
from tests.mac_report.report import run_all


def main() -> int:
    """0 when nothing that was tried has failed, else 1."""
    parser = argparse.ArgumentParser(prog="make mac-report", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("quantum-mac-report.md"), help="the file to write")
    parser.add_argument("--only", action="append", choices=[item.name for item in ITEMS], help="not all of them")
    given = parser.parse_args()
    report = run_all([item for item in ITEMS if not given.only or item.name in given.only], say=print)
    given.out.write_text(report.text)
    print(f"{given.out} is written; look through it and send it back.")
    return 0 if report.good else 1


if __name__ == "__main__":
    sys.exit(main())
