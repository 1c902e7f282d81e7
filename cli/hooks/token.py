"""The token of the git hooks: good for merge checks alone, in a file that they read, replaced like the others."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from foundation.errors import Unauthenticated
from foundation.files import atomic_write
from foundation.repositories import read_repositories
from foundation.tokens import parse
from foundation.workspace import Workspace

if TYPE_CHECKING:
    from cli.session import Connected
    from clients.safety_values import IssuedToken, TokenView

NAME = "git hooks"
SCOPES = ("merge",)


def token_id(workspace: Workspace) -> str:
    """Which token lies in the file; empty: none, or what is none."""
    try:
        return parse(workspace.hooks_token.read_text(encoding="ascii").strip()).id
    except (FileNotFoundError, UnicodeDecodeError, Unauthenticated):
        return ""


def issue(workspace: Workspace, connected: Connected) -> IssuedToken:
    """Put a new token into the file. Raises Unavailable while safety is away."""
    issued = connected.call(connected.safety.issue_token(NAME, SCOPES))
    workspace.hooks_token.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    atomic_write(workspace.hooks_token, f"{issued.text}\n".encode(), 0o600)
    return issued


def keep_good(
    workspace: Workspace, connected: Connected, *, age: timedelta | None, overlap: timedelta, now: datetime
) -> IssuedToken | None:
    """Replace the token if there is none that is good, or one older than `age`; the new one, or None.

    A hook that waits may hold the one before, which is therefore revoked only when the new one is older than `overlap`.
    With no repository left to guard, all of them are. `age` None: only what is missing is made.
    """
    listed = connected.call(connected.safety.list_tokens())
    ours = [one for one in listed if one.name == NAME and one.scopes == frozenset(SCOPES) and _is_good(one, now)]
    if not read_repositories(workspace.repositories_file).by_id:
        workspace.hooks_token.unlink(missing_ok=True)
        _revoke(connected, ours)
        return None
    held = token_id(workspace)
    current = next((one for one in ours if one.id == held), None)
    if current is None or (age is not None and _age(current, now) >= age):
        return issue(workspace, connected)
    if _age(current, now) >= overlap:
        _revoke(connected, [one for one in ours if one.id != held])
    return None


def _revoke(connected: Connected, tokens: list[TokenView]) -> None:
    for one in tokens:
        connected.call(connected.safety.revoke_token(one.id))


def _is_good(token: TokenView, now: datetime) -> bool:
    return token.revoked_at is None and (token.expires_at is None or token.expires_at > now)


def _age(token: TokenView, now: datetime) -> timedelta:
    return now - token.created_at if token.created_at else timedelta(0)
