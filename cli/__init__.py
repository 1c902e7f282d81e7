"""The command line: `quantum <verb>`, one verb a file in `verbs/`."""

import sys

# Read by every Python there is, before a line that an old one could not parse.
if sys.version_info < (3, 11):
    sys.exit(
        "quantum: it needs Python 3.11 or newer, and this is %d.%d (%s).\n  → make setup finds a newer one; "
        "or install it with your system's package manager." % (*sys.version_info[:2], sys.executable)
    )
