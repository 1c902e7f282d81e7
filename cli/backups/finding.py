"""Which backup a person means, and the key that opens it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cli.backups.archive import header_of
from cli.backups.catalogue import entries
from cli.keys.recovery_key import read_key
from foundation.errors import Denied, Invalid, NotFound, did_you_mean
from foundation.secrets import DATABASE_KEY, SecretStore, user_account
from foundation.workspace import Workspace

BEFORE = "before-restore-"
TIME_FORM = "%Y%m%dT%H%M%S.%fZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What is put back: a backup, or with `folder` what an earlier restore has set aside."""

    id: str
    path: Path
    made_at: datetime

    @property
    def is_folder(self) -> bool:
        """Whether it is a state that was set aside, not a backup."""
        return self.path.is_dir()


def find(workspace: Workspace, wanted: str, cwd: Path, environ: Mapping[str, str]) -> Source:
    """The source that a person names: `latest`, an id or its beginning, a file, or `before-restore-…`.

    Raises NotFound with the nearest name, Invalid for a beginning that several have or a file that is no backup.
    """
    if (aside := _set_aside(workspace, wanted)) is not None:
        return aside
    known = entries(workspace, environ)
    if wanted == "latest":
        good = [entry for entry in known if entry.good]
        if not good:
            raise NotFound("no_good_backup", "There is no good backup here.", remedy="quantum backup list")
        return Source(id=good[0].id, path=good[0].path, made_at=good[0].made_at)
    named = [entry for entry in known if entry.id.startswith(wanted)] if wanted else []
    if len(named) == 1:
        return Source(id=named[0].id, path=named[0].path, made_at=named[0].made_at)
    if named:
        raise Invalid("ambiguous_backup", f"{len(named)} backups begin with “{wanted}”: {named[0].id}, {named[1].id} …")
    path = cwd / Path(wanted).expanduser()
    if path.is_file():
        header = header_of(path)
        return Source(id=header.id, path=path.resolve(), made_at=header.made_at)
    near = did_you_mean(wanted, [entry.id for entry in known])
    meant = f" Did you mean {near}?" if near else ""
    raise NotFound("no_such_backup", f"There is no backup “{wanted}”.{meant}", remedy="quantum backup list")


def _set_aside(workspace: Workspace, wanted: str) -> Source | None:
    path = workspace.state / wanted
    if not wanted.startswith(BEFORE) or not path.is_dir():
        return None
    try:
        made_at = datetime.strptime(wanted.removeprefix(BEFORE), TIME_FORM).replace(tzinfo=UTC)
    except ValueError:
        return None  # somebody's own folder
    return Source(id=wanted, path=path, made_at=made_at)


def key_for(source: Source, workspace: Workspace, secrets: SecretStore, typed: str | None) -> bytes:
    """The key that opens a source: the recovery key that was typed, else the keychain's. Raises Denied without one."""
    if typed is not None:
        return read_key(typed)
    root = user_account(workspace)
    own = secrets.get(DATABASE_KEY, f"{root}#{source.id}") if source.is_folder else None
    key = own or secrets.get(DATABASE_KEY, root)
    if key is None:
        raise Denied(
            "key_needed",
            f"The databases' key is not in {secrets.describe}, and nothing else opens a backup.",
            remedy="Give the recovery key: --recovery-key asks for it, or reads it from standard input.",
        )
    return bytes.fromhex(key)
