"""The form of a token: `qtm_<id>_<secret>_<checksum>`; made here, stored only as a digest."""

from __future__ import annotations

import hashlib
import hmac
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

from foundation.errors import Unauthenticated

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID_LENGTH = 12
_SECRET_BYTES = 32
_SECRET_LENGTH = 43  # 62 ** 43 > 2 ** 256
_CHECKSUM_LENGTH = 6
_FORM = re.compile(
    rf"(qtm_([0-9A-Za-z]{{{_ID_LENGTH}}})_[0-9A-Za-z]{{{_SECRET_LENGTH}}})_([0-9A-Za-z]{{{_CHECKSUM_LENGTH}}})"
)
_ANYWHERE = re.compile(r"qtm_[0-9A-Za-z_]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A new token; `text` is shown to its holder once and kept nowhere by the one who issued it."""

    text: str = field(repr=False)
    id: str
    digest: str
    """SHA-256 of the text, 64 hex digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedToken:
    """What a well-formed token says of itself; whether it is good, only its digest can tell."""

    id: str
    digest: str


def mint(random_bytes: Callable[[int], bytes]) -> Token:
    """Makes a token of 256 random bits, with an identifier to find it by and a checksum against slips."""
    identifier = _base62(int.from_bytes(random_bytes(9)), _ID_LENGTH)
    secret = _base62(int.from_bytes(random_bytes(_SECRET_BYTES)), _SECRET_LENGTH)
    body = f"qtm_{identifier}_{secret}"
    text = f"{body}_{_checksum(body)}"
    return Token(text=text, id=identifier, digest=digest_of(text))


def parse(text: str) -> ParsedToken:
    """Reads a token's identifier and digest; raises Unauthenticated, code `malformed_token`."""
    match = _FORM.fullmatch(text)
    if match is None or not hmac.compare_digest(_checksum(match[1]), match[3]):
        raise Unauthenticated(
            "malformed_token",
            "That is not a token of this system.",
            remedy="quantum token show prints yours.",
        )
    return ParsedToken(id=match[2], digest=digest_of(text))


def digest_of(text: str) -> str:
    """SHA-256 of a token's text, 64 hex digits, to be stored in its place; random text needs no salt."""
    return hashlib.sha256(text.encode()).hexdigest()


def matches(presented: ParsedToken, stored_digest: str) -> bool:
    """Whether the token presented is the one stored, in a time that does not depend on where they differ."""
    return hmac.compare_digest(presented.digest, stored_digest)


def mask(text: str) -> str:
    """The text with everything that looks like a token cut to `qtm_…`."""
    return _ANYWHERE.sub("qtm_…", text)


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECKSUM_LENGTH)


def _base62(number: int, length: int) -> str:
    """The last `length` digits of the number to the base 62, with leading zeros."""
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_BASE62[digit])
    return "".join(reversed(digits))
