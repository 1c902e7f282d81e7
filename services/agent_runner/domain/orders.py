"""What a lease means for the warden and for the result: arguments, variables, limits."""

from __future__ import annotations

import json
from collections.abc import Mapping

from clients.attachment_values import Lease, LimitUse


def arguments(lease: Lease) -> list[str]:
    """The script's argv; where its manifest asks for it, each param also as `--key value`."""
    argv = [*lease.interpreter, lease.script]
    if lease.params_as_arguments:
        for key, value in json.loads(lease.params).items():
            argv += [f"--{key}", value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)]
    return argv


def variables(lease: Lease, workspace: str) -> dict[str, str]:
    """The attempt's own environment variables."""
    return {
        "QUANTUM_TASK_ID": lease.ref.task_id,
        "QUANTUM_ATTEMPT": str(lease.attempt),
        "QUANTUM_FENCE": str(lease.ref.fence),
        "QUANTUM_AGENT": lease.agent,
        "QUANTUM_PROJECT": lease.project,
        "QUANTUM_WORKSPACE": workspace,
    }


def limits(lease: Lease, enforcement: Mapping[str, str]) -> list[LimitUse]:
    """Each limit that the attempt has, and how it is held on this machine."""
    asked = (
        ("timeout", lease.timeout_seconds),
        ("idle_timeout", lease.idle_timeout_seconds),
        ("memory", lease.memory_bytes),
        ("processes", lease.processes_max),
        ("open_files", lease.open_files_max),
        ("output", lease.output_bytes_max),
    )
    return [LimitUse(name, value, enforcement.get(name, "none")) for name, value in asked if value]


def missing_requirements(lease: Lease, enforcement: Mapping[str, str]) -> str:
    """The sentence that refuses a lease whose `required` limits the kernel does not hold here; empty:
    none."""
    missing = [name for name in lease.required if enforcement.get(name) != "kernel"]
    if not missing:
        return ""
    held = ", ".join(f"{name}: {enforcement.get(name, 'none')}" for name in missing)
    return f"its manifest requires limits that the kernel does not hold on this machine ({held})"
