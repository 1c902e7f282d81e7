"""What the shell, the hook or the CI service that starts the tests has set is nothing that a test means."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

from foundation.known_settings import ALIASES

OURS = "QUANTUM_"
ABOUT_THE_TESTS = ("QUANTUM_CI", "QUANTUM_TEST_")
OTHERS = {
    *ALIASES,
    # CI keeps the merge guard's hooks still; of git's, what a hook that runs `make test` hands on about its repository.
    *("CI", "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_PREFIX"),
    # A way out that servers on loopback have no use for.
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    # Of a supervisor and of a desktop, which are not to hear of what the tests start.
    *("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "DISPLAY", "WAYLAND_DISPLAY", "DBUS_SESSION_BUS_ADDRESS"),
    # Where and how programs write what tests read.
    *("XDG_CONFIG_HOME", "LANGUAGE", "COLUMNS", "FORCE_COLOR", "CDPATH", "GREP_OPTIONS"),
}

for name in list(os.environ):
    if name in OTHERS or (name.startswith(OURS) and not name.startswith(ABOUT_THE_TESTS)):
        del os.environ[name]
os.environ["LC_ALL"] = "C.UTF-8"
os.umask(0o022)


def pytest_configure(config: pytest.Config) -> None:
    """Examples are the same in each run, and none is too slow; the long ring alone draws new ones."""
    settings.register_profile(
        "quantum",
        deadline=None,
        database=None,
        derandomize=config.getoption("markexpr") != "long",
        suppress_health_check=[HealthCheck.too_slow],
        print_blob=True,
    )
    settings.load_profile("quantum")
