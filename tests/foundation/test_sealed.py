"""A sealed file opens with its key, whole, or not at all."""

from __future__ import annotations

import json
import struct
from io import BytesIO

import pytest

from foundation import sealed
from foundation.errors import Denied, Invalid, QuantumError
from foundation.sealed import MAGIC, SealedReader, SealedWriter, key_id

KEY = bytes(range(32))
CHUNK = 64


def made(content: bytes, *, key: bytes = KEY) -> bytes:
    """A sealed file with chunks of 64 bytes."""
    file = BytesIO()
    writer = SealedWriter(file, key, {"kind": "test"}, chunk_bytes=CHUNK)
    for at in range(0, len(content), 50):
        writer.write(content[at : at + 50])
    writer.finish()
    return file.getvalue()


def opened(file: bytes, *, key: bytes = KEY) -> bytes:
    """What is in it, read in small pieces to its end."""
    reader = SealedReader(BytesIO(file))
    reader.unlock(key)
    content = b""
    while piece := reader.read(37):
        content += piece
    assert reader.at_end
    return content


@pytest.mark.parametrize("length", [0, 1, 63, 64, 65, 128, 1_000])
def test_what_was_sealed_is_read_again(length: int) -> None:
    content = bytes(number % 251 for number in range(length))
    file = made(content)
    assert opened(file) == content
    assert SealedReader(BytesIO(file)).about == {"kind": "test"}
    assert content[:20] not in file or length < 20


def test_two_files_of_the_same_content_have_nothing_in_common() -> None:
    one, other = made(b"x" * 500), made(b"x" * 500)
    tail = 400
    assert one[-tail:] != other[-tail:]


def test_every_single_bit_that_is_changed_shows() -> None:
    content = b"the queue, the breakers, and what was spent. " * 5
    file = made(content)
    refused = 0
    for at in range(len(file)):
        for bit in range(8):
            changed = bytearray(file)
            changed[at] ^= 1 << bit
            with pytest.raises(QuantumError):
                opened(bytes(changed))
            refused += 1
    assert refused == 8 * len(file)
    print(f"{refused} single bits changed, all refused")


def test_without_the_tags_a_changed_byte_is_read_as_if_it_were_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: the same chunks, encrypted and vouched for by nobody."""

    class Unchecked:
        def encrypt(self, nonce: bytes, content: bytes, about: bytes) -> bytes:
            return bytes(byte ^ nonce[-1] ^ 0x55 for byte in content) + bytes(16)

        def decrypt(self, nonce: bytes, content: bytes, about: bytes) -> bytes:
            return bytes(byte ^ nonce[-1] ^ 0x55 for byte in content[:-16])

    monkeypatch.setattr(sealed, "_cipher", lambda key, salt: Unchecked())
    changed = bytearray(made(b"x" * 50))
    changed[-20] ^= 1
    assert opened(bytes(changed)) != b"x" * 50


def test_every_cut_and_every_addition_shows() -> None:
    content = b"0123456789" * 20
    file = made(content)
    for length in range(len(file)):
        with pytest.raises(Invalid):
            opened(file[:length])
    for addition in (b"\0", b"x" * 100, file):
        with pytest.raises(Invalid):
            opened(file + addition)


def test_chunks_that_are_left_out_repeated_or_exchanged_show() -> None:
    file = made(bytes(CHUNK * 4))
    (length,) = struct.unpack(">I", file[len(MAGIC) : len(MAGIC) + 4])
    begin = len(MAGIC) + 4 + length
    whole = CHUNK + 16
    head, chunks = file[:begin], [file[at : at + whole] for at in range(begin, len(file), whole)]
    assert len(chunks) == 4
    a, b, c, d = chunks
    for order in ([a, b, d], [a, b, c], [b, a, c, d], [a, a, b, c, d], [a, c, b, d], [d]):
        with pytest.raises(Invalid):
            opened(head + b"".join(order))
    assert opened(head + b"".join(chunks)) == bytes(CHUNK * 4)


def test_a_cut_at_a_chunk_shows_by_the_mark_of_the_last_one_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: with no mark, a file that ends a chunk early is read as if it were whole."""

    class NoMark:
        size = sealed._PLACE.size

        @staticmethod
        def pack(number: int, last: bool) -> bytes:
            return struct.pack(">QI", number, 0)

    file = made(b"x" * CHUNK * 3)
    with pytest.raises(Invalid):
        opened(file[: -(CHUNK + 16)])
    monkeypatch.setattr(sealed, "_PLACE", NoMark)
    unmarked = made(b"x" * CHUNK * 3)
    assert opened(unmarked[: -(CHUNK + 16)]) == b"x" * CHUNK * 2


def test_another_key_is_refused_by_its_id_before_anything_is_read() -> None:
    other = bytes(reversed(KEY))
    with pytest.raises(Denied, match=key_id(KEY)) as caught:
        opened(made(b"x"), key=other)
    assert caught.value.code == "wrong_key"
    assert key_id(KEY) not in (KEY.hex(), other.hex())


def test_a_header_that_claims_too_much_is_refused() -> None:
    for header in (
        b"[]",
        b"{}",
        b"\xff",
        json.dumps({"about": {}, "key_id": "", "salt": "", "chunk_bytes": 1 << 40}).encode(),
    ):
        with pytest.raises(Invalid):
            SealedReader(BytesIO(MAGIC + struct.pack(">I", len(header)) + header))
    with pytest.raises(Invalid):
        SealedReader(BytesIO(MAGIC + struct.pack(">I", 1 << 31)))
    with pytest.raises(Invalid):
        SealedReader(BytesIO(b"PK\x03\x04"))
