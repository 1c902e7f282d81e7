"""The one file of a backup: a manifest and the parts behind it, sealed under the databases' key."""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from foundation.errors import Invalid
from foundation.files import sync, sync_directory
from foundation.sealed import CHUNK_BYTES, SealedReader, SealedWriter

VERSION = 1
NEWER = "backup_newer"
"""Code of the error for a backup of a later version of ours, of which this one can say nothing."""
_LENGTH = struct.Struct(">I")
_MANIFEST_BYTES_MAX = 64 * 1024 * 1024
_NAME = re.compile(r"[^/\x00]+(/[^/\x00]+)*\Z")

Counts = Mapping[str, Mapping[str, int]]
"""How many rows each table of each database had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What the file says to everybody. `number`: the how manieth of its folder it is; 0 in those of before that."""

    id: str
    made_at: datetime
    key_id: str
    number: int = 0


def pack(
    folder: Path, target: Path, key: bytes, *, backup_id: str, made_at: datetime, number: int, counts: Counts
) -> None:
    """Seal everything in `folder` into `target`, whole or not at all, durably; `key` is the databases'."""
    parts = [_part(folder, path) for path in sorted(folder.rglob("*")) if path.is_file()]
    manifest = json.dumps({"parts": parts, "counts": counts}).encode()
    about = {"kind": "backup", "version": VERSION, "id": backup_id, "made_at": made_at.isoformat(), "number": number}
    partial = target.with_name(f".{target.name}.partial")
    try:
        with open(partial, "wb", opener=_private) as file:
            writer = SealedWriter(file, key, about)
            writer.write(_LENGTH.pack(len(manifest)) + manifest)
            for part in parts:
                for piece in _pieces(folder / part["name"]):
                    writer.write(piece)
            writer.finish()
            file.flush()
            sync(file.fileno())
        os.rename(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    sync_directory(target.parent)


def header_of(path: Path) -> Header:
    """What a backup says of itself; only `unpack` knows that it is true. Raises Invalid for what is none."""
    with path.open("rb") as file:
        return _header(SealedReader(file))


def unpack(path: Path, key: bytes, folder: Path, backup_id: str) -> Counts:
    """Put everything of a backup into `folder`, which must be empty, durably; returns the rows that it had.

    Raises Denied, `wrong_key`, for another key, Invalid for whatever is not byte for byte as it was written, and, as
    `backup_renamed`, for another backup than `backup_id`: an older one must not pass for the latest.
    """
    with path.open("rb") as file:
        reader = SealedReader(file)
        found = _header(reader).id
        reader.unlock(key)
        if found != backup_id:
            raise Invalid("backup_renamed", f"It is {found} under another name, {backup_id}.")
        manifest = _manifest(reader)
        for part in manifest["parts"]:
            _write_part(reader, folder, part)
        if reader.read(1):
            raise Invalid("seal_broken", "It is damaged: there is more in it than it says.")
    for made in {folder, *(path for path in folder.rglob("*") if path.is_dir())}:
        sync_directory(made)
    counts: Counts = manifest["counts"]
    return counts


def _header(reader: SealedReader) -> Header:
    about = reader.about
    try:
        if about["kind"] != "backup":
            raise Invalid("not_a_backup", f"This is a sealed file of another kind: {about['kind']}.")
        if int(about["version"]) > VERSION:
            raise Invalid(
                NEWER,
                f"This backup is of form {about['version']}, and this version reads up to {VERSION}.",
                remedy="Restore it with the version that made it, or a later one.",
            )
        made_at = datetime.fromisoformat(about["made_at"])
        number = int(about.get("number", 0))
        return Header(id=str(about["id"]), made_at=made_at, key_id=reader.key_id, number=number)
    except (KeyError, TypeError, ValueError, OverflowError):
        raise Invalid("seal_broken", "It is damaged: its header does not say what it is.") from None


def _part(folder: Path, path: Path) -> dict[str, Any]:
    digest, size = hashlib.sha256(), 0
    for piece in _pieces(path):
        digest.update(piece)
        size += len(piece)
    return {"name": str(path.relative_to(folder)), "bytes": size, "sha256": digest.hexdigest()}


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(CHUNK_BYTES):
            yield piece


def _manifest(reader: SealedReader) -> Mapping[str, Any]:
    length = reader.read(_LENGTH.size)
    if len(length) < _LENGTH.size or _LENGTH.unpack(length)[0] > _MANIFEST_BYTES_MAX:
        raise Invalid("seal_broken", "It is damaged: it does not say what is in it.")
    found: Mapping[str, Any] = json.loads(reader.read(_LENGTH.unpack(length)[0]))
    return found


def _write_part(reader: SealedReader, folder: Path, part: Mapping[str, Any]) -> None:
    name = str(part["name"])
    if not _NAME.match(name) or ".." in name.split("/"):
        raise Invalid("bad_part", f"The backup has a part named “{name}”, which is no name of ours.")
    path = folder / name
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest, left = hashlib.sha256(), int(part["bytes"])
    with open(path, "xb", opener=_private) as file:
        while left:
            piece = reader.read(min(left, CHUNK_BYTES))
            if not piece:
                raise Invalid("seal_broken", f"It is damaged: it ends within {name}.")
            digest.update(piece)
            left -= len(piece)
            file.write(piece)
        _settle(file)
    if digest.hexdigest() != part["sha256"]:
        raise Invalid("seal_broken", f"It is damaged: {name} is not what was put into it.")


def _settle(file: BinaryIO) -> None:
    file.flush()
    sync(file.fileno())


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
