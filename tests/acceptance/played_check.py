"""A built-in agent `merge-check` that does as a test says, and a coordinator that has it in place of Quantum's own.

`python -m tests.acceptance.played_check FOLDER serve --workspace …` is the coordinator; FOLDER has its built-in agents.
"""

from __future__ import annotations

import sys
from pathlib import Path

from services.coordinator import __main__ as coordinator
from services.coordinator.adapters.catalogue_files import FileCatalogue

ROOT = Path(__file__).parents[2]

AGENT = f"""# /// script
# [tool.quantum]
# description = "Played"
# effects = "idempotent"
# timeout = "10m"
# ///
import asyncio, json, os, sys, time
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
import grpc.aio
from foundation.rpc.channel import open_channel
from protos.coordinator.v1 import merges_pb2, merges_pb2_grpc

params = json.loads(Path(os.environ["QUANTUM_PARAMS"]).read_text())
played = Path(os.environ["QUANTUM_WORKSPACE"], "played")
played.mkdir(exist_ok=True)
credential = Path(os.environ["QUANTUM_CREDENTIAL"]).read_text().strip()
attempt = os.environ["QUANTUM_FENCE"]
(played / f"{{params['check']}}.{{attempt}}.part").write_text(credential)
os.rename(played / f"{{params['check']}}.{{attempt}}.part", played / f"{{params['check']}}.{{attempt}}.credential")
print("run 1 of 5: red", flush=True)
while not (played / f"{{params['check']}}.go").exists():
    time.sleep(0.02)
old, new = params["old"] or "a" * 40, params["new"] or "b" * 40


async def confirm():
    async with open_channel(Path(sys.argv[0]).with_name("socket").resolve(), token=lambda: credential) as channel:
        stub = merges_pb2_grpc.MergeServiceStub(channel)
        request = merges_pb2.ConfirmMergeCheckRequest(id=params["check"], old_commit=old, new_commit=new)
        return await stub.ConfirmMergeCheck(request, timeout=60)


answer = asyncio.run(confirm())
evidence = {{
    "check": params["check"], "old": old, "new": new, "branch": "main", "verdict": "bad",
    "action": "rolled_back" if answer.may_move else "reported", "sentence": answer.reason or "Taken back.",
}}
report = {{"type": "merge-check", "project": "", "summary": evidence["sentence"], "data": evidence}}
Path(os.environ["QUANTUM_REPORT"]).write_text(json.dumps(report))
"""


def play(folder: Path, socket: Path) -> None:
    """Write the agent, and where it finds the coordinator."""
    folder.mkdir(exist_ok=True)
    (folder / "merge-check.py").write_text(AGENT)
    (folder / "socket").symlink_to(socket)


if __name__ == "__main__":
    FileCatalogue.__init__.__defaults__ = (Path(sys.argv.pop(1)),)
    sys.exit(coordinator.main())
