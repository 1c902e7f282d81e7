"""This tree as a disk of its own, so that the machine's own disk need not be made again for a change of it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.vm.image import SOURCE, make_disk, run


def source_disk(path: Path, changes: Mapping[str, tuple[str, str]] | None = None) -> None:
    """A disk with this tree as it is now. `changes`: in the file of that name the first text becomes the second,
    which takes a protection out."""
    tree = path.with_suffix(".tree")
    shutil.rmtree(tree, ignore_errors=True)
    names = run(["git", "-C", str(SOURCE), "ls-files", "-co", "--exclude-standard", "-z"]).split("\0")
    for name in filter(None, names):
        if (SOURCE / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(SOURCE / name, tree / name)
    for name, (before, after) in (changes or {}).items():
        text = (tree / name).read_text()
        assert before in text, f"{name} does not hold what is to be taken out: {before}"
        (tree / name).write_text(text.replace(before, after))
    # What is compiled here is not compiled there, ten times as slowly; only the same version of Python takes it.
    run([sys.executable, "-m", "compileall", "-q", "-j", "2", "--invalidation-mode", "unchecked-hash", str(tree)])
    make_disk(tree, path, "source", 512 << 20)
    shutil.rmtree(tree)
