"""What safety costs: its share of the control plane's CPU per task, and one look at a token that is known."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import timedelta

from benchmarks.system import SCRIPT, System, running
from benchmarks.throughput import run_all
from clients.caching_verifier import CachingTokenVerifier
from clients.safety_values import TokenView, Validation
from foundation.clock import SystemClock
from foundation.ids import random_bytes
from foundation.tokens import mint

CONTROL_PLANE = ("safety", "coordinator", "runner-local")


def shares(tasks: int) -> Mapping[str, float]:
    """CPU in microseconds per task of each process of the control plane, under full load; scripts left out."""
    with running({"noop.sh": SCRIPT}) as system:
        run_all(system, 500)
        before = _cpu_seconds(system)
        run_all(system, tasks)
        after = _cpu_seconds(system)
    return {name: (after[name] - before[name]) / tasks * 1e6 for name in CONTROL_PLANE}


def _cpu_seconds(system: System) -> Mapping[str, float]:
    used = {}
    for name, family in system.processes().items():
        times = [process.cpu_times() for process in family]
        used[name] = sum(each.user + each.system for each in times)
    return used


class _Vouches:
    """Safety, as far as it is asked here: once."""

    async def validate(self, token: str, *, deadline: timedelta) -> Validation:
        view = TokenView(
            id="t",
            name="ann",
            scopes=frozenset({"read"}),
            created_at=None,
            expires_at=None,
            last_used_at=None,
            revoked_at=None,
        )
        return Validation(token=view, revocation=0)


def token_microseconds(rounds: int, looks: int) -> list[float]:
    """Microseconds of one verification while beats are heard, of each round."""

    async def measure() -> list[float]:
        verifier = CachingTokenVerifier(_Vouches(), SystemClock())
        tokens = [mint(random_bytes).text for _ in range(100)]
        took = []
        for _ in range(rounds):
            verifier.hear(0)
            for token in tokens:
                await verifier.verify(token)
            begun = time.perf_counter()
            for number in range(looks):
                await verifier.verify(tokens[number % len(tokens)])
            took.append((time.perf_counter() - begun) / looks * 1e6)
        return took

    return asyncio.run(measure())
