"""The recovery key: the databases' key as a person writes it down, and types it again."""

from __future__ import annotations

import sys

import click

from foundation.errors import Invalid
from foundation.secrets import KEY_BYTES


def readable(key: str) -> str:
    """A key in groups of eight, to be written down."""
    return "-".join(key[at : at + 8] for at in range(0, len(key), 8))


def ask_for_key() -> str:
    """What a person types, at a prompt that does not show it, or what standard input says."""
    if sys.stdin.isatty():
        key: str = click.prompt("Recovery key", hide_input=True)
        return key
    return sys.stdin.read(4096)


def read_key(typed: str) -> bytes:
    """A recovery key as a person types it: 32 bytes. Raises Invalid."""
    text = "".join(typed.split()).replace("-", "").lower()
    if len(text) != 2 * KEY_BYTES or any(letter not in "0123456789abcdef" for letter in text):
        raise Invalid("not_a_key", "That is not a recovery key: it has 64 hexadecimal digits.")
    return bytes.fromhex(text)
