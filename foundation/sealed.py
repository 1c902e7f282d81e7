"""A file sealed with a key: AES-256-GCM in chunks, so that it can be of any size, and any change or cut shows.

    magic · length of the header (4 bytes) · header (JSON) · chunk · chunk · … · last chunk

Each chunk is `chunk_bytes` of content (the last one less) and a tag of 16 bytes. The header is not secret: it says
which key is needed and what the file is. Every chunk vouches for it and for its own place, and the last one for being
the last, so that nothing can be changed, moved, left out or added. The key of a file is made of the given one and of
32 random bytes in its header (HKDF-SHA256), so that no two files share one and the count of the chunk can be its nonce.
"""

from __future__ import annotations

import hashlib
import json
import struct
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

from foundation.errors import Denied, Invalid
from foundation.ids import random_bytes

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAGIC = b"quantum-sealed-1\n"
CHUNK_BYTES = 256 * 1024
CHUNK_BYTES_MAX = 16 * 1024 * 1024
HEADER_BYTES_MAX = 64 * 1024
KEY_BYTES = 32
_SALT_BYTES = 32
_TAG_BYTES = 16
_LENGTH = struct.Struct(">I")
_PLACE = struct.Struct(">QI")
"""A nonce of 12 bytes: the number of the chunk, and whether it is the last."""


def key_id(key: bytes) -> str:
    """By what one tells which key a file needs: sixteen hex digits that give nothing of the key away."""
    return _derive(key, b"", b"quantum key id").hex()[:16]


class SealedWriter:
    """Writes one sealed file; only after `finish` is it one."""

    def __init__(
        self,
        file: BinaryIO,
        key: bytes,
        about: Mapping[str, Any],
        *,
        chunk_bytes: int = CHUNK_BYTES,
        random: Callable[[int], bytes] = random_bytes,
    ) -> None:
        """`about` goes into the header, readable by all. `key` is 32 bytes."""
        salt = random(_SALT_BYTES)
        header = json.dumps(
            {
                "about": dict(about),
                "key_id": key_id(key),
                "salt": b64encode(salt).decode(),
                "chunk_bytes": chunk_bytes,
            },
            ensure_ascii=False,
        ).encode()
        self._file = file
        self._cipher = _cipher(key, salt)
        self._bound_to = _bound_to(header)
        self._chunk_bytes = chunk_bytes
        self._number = 0
        self._rest = bytearray()
        file.write(MAGIC + _LENGTH.pack(len(header)) + header)

    def write(self, content: bytes) -> None:
        """Add content."""
        self._rest += content
        # A full chunk stays until more has come: whatever comes last must be known as the last.
        while len(self._rest) > self._chunk_bytes:
            self._put(bytes(self._rest[: self._chunk_bytes]), last=False)
            del self._rest[: self._chunk_bytes]

    def finish(self) -> None:
        """Write the last chunk; the file is not synced."""
        self._put(bytes(self._rest), last=True)

    def _put(self, chunk: bytes, *, last: bool) -> None:
        nonce = _PLACE.pack(self._number, last)
        self._file.write(self._cipher.encrypt(nonce, chunk, self._bound_to))
        self._number += 1


class SealedReader:
    """Reads one sealed file from its beginning; what it hands out is as it was written.

    Only when a read has come to the end (`at_end`) is it known that nothing is missing.
    """

    def __init__(self, file: BinaryIO) -> None:
        """Reads the header alone, for which no key is needed. Raises Invalid for what is no sealed file."""
        self._file = file
        if file.read(len(MAGIC)) != MAGIC:
            raise Invalid("not_sealed", "This is no sealed file of Quantum's, or its beginning is damaged.")
        header = self._read_header()
        self._bound_to = _bound_to(header)
        try:
            found = json.loads(header)
            self.about: Mapping[str, Any] = dict(found["about"])
            self.key_id = str(found["key_id"])
            self._salt = b64decode(found["salt"], validate=True)
            self._chunk_bytes = int(found["chunk_bytes"])
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            raise _damaged() from None
        if not 0 < self._chunk_bytes <= CHUNK_BYTES_MAX:
            raise _damaged()
        self._cipher: AESGCM | None = None
        self._number = 0
        self._content = bytearray()
        self._ahead = b""
        self.at_end = False

    def unlock(self, key: bytes) -> None:
        """Raises Denied, code `wrong_key`, for another key than it was sealed with."""
        if key_id(key) != self.key_id:
            raise Denied(
                "wrong_key",
                f"It was sealed with another key (its id is {self.key_id}, this one's is {key_id(key)}).",
                remedy="Give the recovery key that was shown when that key was made: --recovery-key.",
            )
        self._cipher = _cipher(key, self._salt)

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, fewer only at the end. Raises Invalid, `seal_broken`, for what was changed or cut."""
        while len(self._content) < size and not self.at_end:
            self._content += self._next_chunk()
        content = bytes(self._content[:size])
        del self._content[:size]
        return content

    def _read_header(self) -> bytes:
        length = self._file.read(_LENGTH.size)
        if len(length) < _LENGTH.size or _LENGTH.unpack(length)[0] > HEADER_BYTES_MAX:
            raise _damaged()
        header = self._file.read(_LENGTH.unpack(length)[0])
        if len(header) < _LENGTH.unpack(length)[0]:
            raise _damaged()
        return header

    def _next_chunk(self) -> bytes:
        from cryptography.exceptions import InvalidTag

        if self._cipher is None:
            raise Denied("sealed", "It has not been unlocked.")
        whole = self._chunk_bytes + _TAG_BYTES
        chunk = self._ahead or self._file.read(whole)
        self._ahead = self._file.read(whole) if len(chunk) == whole else b""
        last = not self._ahead
        try:
            content = self._cipher.decrypt(_PLACE.pack(self._number, last), chunk, self._bound_to)
        except (InvalidTag, ValueError):
            raise _damaged() from None
        self._number += 1
        self.at_end = last
        return content


def _derive(key: bytes, salt: bytes, purpose: bytes) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=salt, info=purpose).derive(key)


def _cipher(key: bytes, salt: bytes) -> AESGCM:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(_derive(key, salt, b"quantum sealed file"))


def _bound_to(header: bytes) -> bytes:
    return hashlib.sha256(MAGIC + _LENGTH.pack(len(header)) + header).digest()


def _damaged() -> Invalid:
    return Invalid("seal_broken", "It is damaged: a byte was changed, or its end is missing.")
