"""What a hook of the tests runs: dirties the work tree, lets the guard act, writes down what it did."""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path

from tests.merge_guard.building import Repo
from tests.merge_guard.judging import act
from tests.merge_guard.kinds import DIRTS
from tests.merge_guard.snapshot import take


def main() -> None:
    """Arguments: the hook's name, the dirt's name, the file for the result, the git to use."""
    hook, dirt, result, program = sys.argv[1:5]
    repo = Repo(Path(os.environ["TOP"]), program)
    merged = take(repo)
    DIRTS[dirt].make(repo)
    Path(result).write_bytes(pickle.dumps(act(repo, hook, merged=merged)))


if __name__ == "__main__":
    main()
