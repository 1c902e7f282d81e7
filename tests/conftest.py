"""What the shell, the hook or the CI service that starts the tests has set is nothing that a test means."""

from __future__ import annotations

import os

OURS = "QUANTUM_"
ABOUT_THE_TESTS = ("QUANTUM_CI", "QUANTUM_TEST_")
# CI keeps the merge guard's hooks still; of git's, what a hook that runs `make test` hands on about its repository.
OTHERS = ("CI", "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_PREFIX")

for name in list(os.environ):
    if name in OTHERS or (name.startswith(OURS) and not name.startswith(ABOUT_THE_TESTS)):
        del os.environ[name]

from tests.standstill import pytest_runtest_protocol  # noqa: E402, F401
