"""A service's process ends by itself when the system asks it to."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

SERVICE = """
import asyncio, os, sys
from foundation.rpc.run import run

async def main(stop):
    print(type(asyncio.get_running_loop()).__module__, os.environ["GRPC_ENABLE_FORK_SUPPORT"], flush=True)
    await stop.wait()
    print("ended by itself", flush=True)
    return 3

sys.exit(run(main))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_sets_the_event_and_the_result_comes_back(number: signal.Signals) -> None:
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", SERVICE], cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "uvloop 0\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (out, err, process.returncode) == ("ended by itself\n", "", 3)
