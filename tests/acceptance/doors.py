"""Tokens of every kind for a deployment: what stands before each route and each method is tried with all of them."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

from clients.coordinator_values import TaskSpec
from foundation.auth import USER_SCOPES
from foundation.ids import random_bytes
from foundation.tokens import Token, mint
from tests.acceptance.deployment import Deployment, deployed
from tests.waiting import CLOCK, PATIENCE_SECONDS, eventually

EVERY_SCOPE = (
    USER_SCOPES | {"runner", "join"} | {f"service:{name}" for name in ("coordinator", "safety", "runner", "gateway")}
)
HOLDER = 'cp "$QUANTUM_CREDENTIAL" "$HELD.part"; mv "$HELD.part" "$HELD"; '


@dataclass(frozen=True, slots=True)
class Keyring:
    """Texts to show at a door."""

    malformed: tuple[str, ...]
    unknown: str
    expired: str
    revoked: str
    attempt: str
    """The credential of an attempt that runs."""
    ended: str
    """The credential of an attempt that has ended."""
    _with: dict[frozenset[str], str]

    def with_scopes(self, scopes: Iterable[str]) -> str:
        """A good token with exactly these scopes."""
        return self._with[frozenset(scopes)]

    def worthless(self) -> dict[str, str | None]:
        """What no door opens to, by its kind."""
        malformed = {f"malformed {number}": text for number, text in enumerate(self.malformed, start=1)}
        known = {"unknown": self.unknown, "expired": self.expired, "revoked": self.revoked}
        return {"none": None, **malformed, **known, "ended attempt": self.ended}


@dataclass(frozen=True, slots=True)
class Doors:
    """A system that runs, what to show at its doors, and a task of it that has ended."""

    system: Deployment
    keyring: Keyring
    ended_task: str


@asynccontextmanager
async def doors(folder: Path, wanted: Iterable[frozenset[str]]) -> AsyncIterator[Doors]:
    """All services of a new workspace, and a token for each set of scopes that is `wanted`."""
    async with deployed(folder) as system:
        minted = {scopes: mint(random_bytes) for scopes in wanted}
        expired, revoked = mint(random_bytes), mint(random_bytes)
        now = CLOCK.now()
        documents = [_document(token, scopes) for scopes, token in minted.items()]
        documents.append(_document(expired, EVERY_SCOPE) | {"expires_at": (now - timedelta(seconds=1)).isoformat()})
        documents.append(_document(revoked, EVERY_SCOPE))
        await asyncio.to_thread(_provision, system, documents)
        for name, rest in (("stays", "exec sleep 600"), ("goes", "true")):
            system.agent(name, f'HELD="$QUANTUM_WORKSPACE/{name}"\n{HOLDER}{rest}', manifest='uses = ["cloud:acme"]')
        await system.up("safety", "coordinator", "runner-local")
        async with system.safety() as safety:
            await safety.revoke_token(revoked.id)
        async with system.coordinator() as client:
            await client.reload_agents()
            ended_task, _ = [
                task.id for task in (await client.submit([TaskSpec(agent=name) for name in ("goes", "stays")])).tasks
            ]
            held: list[str] = [
                await eventually(partial(_read, system, name), f"{name} has a credential") for name in ("goes", "stays")
            ]

            async def has_ended() -> bool:
                return (await client.get_task(ended_task)).state.ended

            await eventually(has_ended, "the one that goes has gone")
        good = mint(random_bytes).text
        keyring = Keyring(
            malformed=("nonsense", "qtm_", good[:-1], good[:-1] + ("1" if good[-1] == "0" else "0"), "Bearer " + good),
            unknown=good,
            expired=expired.text,
            revoked=revoked.text,
            attempt=held[1],
            ended=held[0],
            _with={scopes: token.text for scopes, token in minted.items()},
        )
        yield Doors(system, keyring, ended_task)


def _read(system: Deployment, name: str) -> str | None:
    path = system.workspace.root / name
    return path.read_text().strip() if path.exists() else None


def _document(token: Token, scopes: Iterable[str]) -> dict[str, object]:
    return {"id": token.id, "digest": token.digest, "name": "matrix", "scopes": sorted(scopes), "expires_at": None}


def _provision(system: Deployment, tokens: list[dict[str, object]]) -> None:
    """As `quantum init` does: the only way to a token with a scope that people cannot issue."""
    subprocess.run(
        [sys.executable, "-m", "services.safety", "provision", "--workspace", str(system.workspace.root)],
        input=json.dumps({"tokens": tokens}).encode(),
        capture_output=True,
        timeout=PATIENCE_SECONDS,
        check=True,
        env=system.environ,
        cwd=system.workspace.root,
    )
