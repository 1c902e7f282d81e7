"""The workspace's own tokens among the secrets that are put back: those that have ended since are made anew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cli.workspace.settling import Entries
from foundation.errors import Unauthenticated
from foundation.ids import random_bytes
from foundation.secrets import SERVICE_TOKEN, USER_TOKEN
from foundation.tokens import Token, mint, parse


def fresh_for(entries: Entries) -> Mapping[str, Token]:
    """A new token for the user's and for each service's among the secrets, by the id of the one that it may replace."""
    return {found: mint(random_bytes) for service, _, secret in entries if (found := _id_of(service, secret))}


def exchanged(entries: Entries, fresh: Mapping[str, Token], replaced: Iterable[str]) -> Entries:
    """The secrets with the new text for each token whose id is among `replaced`."""
    new = {old: fresh[old].text for old in replaced}
    return [(service, behind, new.get(_id_of(service, secret), secret)) for service, behind, secret in entries]


def _id_of(service: str, secret: str) -> str:
    """Which token it is; empty for another kind of secret, and for what is none."""
    try:
        return parse(secret).id if service in (USER_TOKEN, SERVICE_TOKEN) else ""
    except Unauthenticated:
        return ""
