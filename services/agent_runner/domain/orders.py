"""What a lease means for the warden and for the result: arguments, variables, limits."""

from __future__ import annotations

import json
from collections.abc import Mapping

from clients.attachment_values import Lease, LeaseTerms, LimitUse

PARAM_LENGTH_MIN = 4
"""A shorter one would be found in any text, and masking it would make outputs unreadable."""


def shared_arguments(terms: LeaseTerms) -> list[str]:
    """The beginning of the script's argv."""
    return [*terms.interpreter, terms.script]


def arguments(lease: Lease) -> list[str]:
    """The rest of the script's argv: where its manifest asks for it, each param as `--key value`, but no secret one:
    every user of a machine can read the arguments of what runs there.
    """
    argv = []
    if lease.terms.params_as_arguments:
        for key, value in json.loads(lease.params).items():
            if key not in lease.terms.secret_params:
                argv += [f"--{key}", _text(value)]
    return argv


def secret_params(lease: Lease) -> tuple[str, ...]:
    """The params that must not be seen in what it prints; those that are too short to be told from any text may be."""
    if not lease.terms.secret_params:
        return ()
    params = json.loads(lease.params)
    values = [_text(params[name]) for name in lease.terms.secret_params if name in params]
    return tuple(value for value in values if len(value) >= PARAM_LENGTH_MIN)


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def shared_variables(terms: LeaseTerms, workspace: str, gateway: str) -> dict[str, str]:
    """Environment variables of all attempts on these terms; `gateway` is its address."""
    return {
        "QUANTUM_AGENT": terms.agent,
        "QUANTUM_PROJECT": terms.project,
        "QUANTUM_WORKSPACE": workspace,
        "QUANTUM_GATEWAY": gateway,
    }


def variables(lease: Lease) -> dict[str, str]:
    """The attempt's own environment variables."""
    return {
        "QUANTUM_TASK_ID": lease.ref.task_id,
        "QUANTUM_ATTEMPT": str(lease.attempt),
        "QUANTUM_FENCE": str(lease.ref.fence),
    }


def limits(terms: LeaseTerms, enforcement: Mapping[str, str]) -> tuple[LimitUse, ...]:
    """Each limit that an attempt has, and how it is held on this machine."""
    asked = (
        ("timeout", terms.timeout_seconds),
        ("idle_timeout", terms.idle_timeout_seconds),
        ("memory", terms.memory_bytes),
        ("processes", terms.processes_max),
        ("open_files", terms.open_files_max),
        ("output", terms.output_bytes_max),
        ("cpu", terms.cpu_cores),
        ("cpu_time", terms.cpu_seconds),
        ("files", terms.work_files_max),
        ("disk", terms.work_bytes_max),
    )
    return tuple([LimitUse(name, value, enforcement.get(name, "none")) for name, value in asked if value])


def missing_requirements(terms: LeaseTerms, enforcement: Mapping[str, str]) -> str:
    """The sentence that refuses terms whose `required` limits the kernel does not hold here; empty:
    none."""
    missing = [name for name in terms.required if enforcement.get(name) != "kernel"]
    if not missing:
        return ""
    held = ", ".join(f"{name}: {enforcement.get(name, 'none')}" for name in missing)
    return f"its manifest requires limits that the kernel does not hold on this machine ({held})"
