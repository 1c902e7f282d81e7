"""The command line: `quantum <verb>`, one verb a file in `verbs/`."""

import sys

# Read by every Python there is, before a line that an old one could not parse.
if sys.version_info < (3, 11):  # noqa: UP036 - what pip refuses, `python3 -m cli` in a clone does not
    sys.exit(
        f"quantum: it needs Python 3.11 or newer, and this is {sys.version_info[0]}.{sys.version_info[1]} "
        f"({sys.executable}).\n  → make setup finds a newer one, or says how to install it."
    )
