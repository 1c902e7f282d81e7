"""No secret comes through, in whatever form and pieces it is printed; and what is none comes through as it was."""

from __future__ import annotations

import base64
import itertools
import json
import random
import textwrap
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from foundation.masking import MARK, Forms, Masker, forms_of, masked
from services.agent_runner.domain.text import Cleaner

KEY = "sk-proj-Ab3dEf9hIjKl"
ODD = "pä\"ss/w\\o rd%+='&🔑"
PEM = (
    "-----BEGIN KEY-----\n"
    + "\n".join(textwrap.wrap(base64.b64encode(bytes(range(7, 199))).decode(), 64))
    + "\n-----END KEY-----"
)

Write = Callable[[str], str]


def _base64(before: int, after: int, *, url: bool = False, width: int = 0) -> Write:
    encode = base64.urlsafe_b64encode if url else base64.b64encode

    def write(secret: str) -> str:
        text = encode(b"x" * before + secret.encode() + b"y" * after).decode()
        return "\n".join(textwrap.wrap(text, width)) if width else text

    return write


def _percent(safe: str, *, lower: bool = False) -> Write:
    def write(secret: str) -> str:
        text = "".join(
            char if char in safe or (char.isascii() and char.isalnum()) else quote(char, safe="") for char in secret
        )
        return "".join(part.lower() if part[:1] == "%" else part for part in _cut_escapes(text)) if lower else text

    return write


def _cut_escapes(text: str) -> list[str]:
    parts, at = [], 0
    while at < len(text):
        size = 3 if text[at] == "%" else 1
        parts.append(text[at : at + size])
        at += size
    return parts


def _units(secret: str) -> str:
    encoded = secret.encode("utf-16-be")
    return "".join(f"\\u{encoded[at : at + 2].hex()}" for at in range(0, len(encoded), 2))


def _slashes(secret: str) -> str:
    return json.dumps(secret)[1:-1].replace("/", "\\/")


FORMS: dict[str, Write] = {
    "as it is": str,
    "json": lambda secret: json.dumps(secret)[1:-1],
    "json, not in ASCII": lambda secret: json.dumps(secret, ensure_ascii=False)[1:-1],
    "json with slashes": _slashes,
    "json, all of it": _units,
    "json, upper": lambda secret: _units(secret).upper().replace("\\U", "\\u"),
    "url": lambda secret: quote(secret, safe=""),
    "url path": quote,
    "url form": quote_plus,
    "url as JavaScript": _percent("!'()*-._~"),
    "url, lower": _percent("", lower=True),
    "url, all of it": lambda secret: "".join(f"%{byte:02X}" for byte in secret.encode()),
    "hex": lambda secret: secret.encode().hex(),
    **{f"base64 {before} {after}": _base64(before, after) for before in range(3) for after in range(3)},
    **{f"base64 url {before}": _base64(before, 1, url=True) for before in range(3)},
    **{f"base64 in lines of {width}": _base64(7, 3, width=width) for width in (60, 64, 76)},
}


def _forms(*secrets: str, credential: str = "") -> Forms:
    forms = forms_of(secrets, credential)
    assert forms is not None
    return forms


def _run(forms: Forms, pieces: list[bytes]) -> bytes:
    masker = Masker(forms)
    return b"".join([*map(masker.feed, pieces), masker.feed(b"", final=True)])


def _pieces(text: bytes, cuts: list[int]) -> list[bytes]:
    ends = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    return [text[start:end] for start, end in itertools.pairwise(ends)]


def _shown(written: str, secret: str, name: str) -> bytes:
    """The part of a form that stands for the secret alone."""
    if not name.startswith("base64"):
        return written.encode()
    # A letter at either end belongs to a neighbour too.
    return written.encode()[12:-12]


@pytest.mark.parametrize("secret", [KEY, ODD, PEM], ids=["key", "odd", "pem"])
@pytest.mark.parametrize("name", FORMS)
def test_a_secret_in_any_form_is_masked_whatever_the_cut(name: str, secret: str) -> None:
    forms, written = _forms(secret), FORMS[name](secret)
    text = f"before {written} after\n".encode()
    expected = masked(text, forms)
    leak = _shown(written, secret, name)
    assert leak in text and leak not in expected and MARK in expected
    assert expected.startswith(b"before ") and expected.endswith(b" after\n")
    cuts = range(0, len(text), 1 if len(text) < 200 else 37)
    assert all(leak not in _run(forms, [text[:cut], text[cut:]]) for cut in cuts)
    size = 1 if len(text) < 200 else 7
    assert leak not in _run(forms, [text[at : at + size] for at in range(0, len(text), size)])
    # The control: masked piece by piece, with nothing held back, it comes through; not one of lines.
    assert secret == PEM or any(leak in masked(text[:cut], forms) + masked(text[cut:], forms) for cut in cuts)


@pytest.mark.parametrize("length", [9, 10, 11])
@pytest.mark.parametrize("after", ["", "y", "yy", "yyy"])
@pytest.mark.parametrize("before", range(3))
def test_the_last_letter_that_has_bits_of_a_secret_is_masked_too(before: int, after: str, length: int) -> None:
    secret = "Ab3dEf9hIjKlMn"[:length]
    text = base64.b64encode(b"x" * before + secret.encode() + after.encode())
    decided = (before + length) * 8 // 6
    has_bits = (before + length) % 3 > 0
    forms = _forms(secret)
    expected = masked(text, forms)
    assert expected.endswith(MARK + text[decided + has_bits :]), expected
    for cut in range(len(text)):
        assert _run(forms, [text[:cut], text[cut:]]) == expected
    assert _run(forms, [text[at : at + 1] for at in range(len(text))]) == expected
    # What follows and is no letter stays, and a line is seen as soon as it has ended.
    masker = Masker(forms)
    assert masker.feed(text[:decided] + b". So\n").endswith(MARK + b". So\n")


_SECRETS = st.text(st.characters(codec="utf-8", exclude_characters="•"), min_size=4, max_size=40)
_NOISE = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b"\\", b"%", b"\n", b"\r\n", b"%2", b"\\u00", b"A" * 40 + b"\n", b'"', b"\\\\"]),
)


@settings(max_examples=400, deadline=None)
@given(
    secret=_SECRETS,
    name=st.sampled_from(sorted(set(FORMS) - {"hex"})),
    noise=st.lists(_NOISE, min_size=2, max_size=2),
    cuts=st.lists(st.integers(0, 400), max_size=12),
    repeat=st.integers(1, 3),
)
@example(secret="aaaa", name="as it is", noise=[b"a" * 9, b"a"], cuts=list(range(20)), repeat=2)
@example(secret='"0000', name="json", noise=[b"\\", b""], cuts=list(range(20)), repeat=1)
def test_no_cut_of_no_text_lets_a_secret_through(
    secret: str, name: str, noise: list[bytes], cuts: list[int], repeat: int
) -> None:
    forms, written = _forms(secret), FORMS[name](secret).encode()
    text = noise[0] + written * repeat + noise[1]
    out = _run(forms, _pieces(text, cuts))
    assert secret.encode() not in out
    core = written[4:-4] if name.startswith("base64") else written
    if len(core) >= 8:
        assert core not in out


@settings(max_examples=400, deadline=None)
@given(secret=_SECRETS, pieces=st.lists(_NOISE, max_size=12))
def test_what_holds_no_secret_is_not_changed(secret: str, pieces: list[bytes]) -> None:
    forms, text = _forms(secret), b"".join(pieces)
    if forms.spans(text):
        return
    assert _run(forms, pieces) == text


def test_many_secrets_in_a_long_stream_of_small_pieces() -> None:
    chance = random.Random(7)
    secrets = (KEY, ODD, PEM)
    forms, printed, text = _forms(*secrets), 0, bytearray()
    written = [FORMS[name](secret).encode() for secret in secrets for name in FORMS]
    cores = [_shown(FORMS[name](secret), secret, name) for secret in secrets for name in FORMS]
    while printed < 500:
        text += bytes(chance.choices(b"abcXYZ019+/=%\\u\n ", k=chance.randrange(90)))
        if chance.random() < 0.5:
            text += chance.choice(written)
            printed += 1
    masker, out, at = Masker(forms), bytearray(), 0
    while at < len(text):
        size = chance.choice((1, 2, 3, 17, 400))
        out += masker.feed(bytes(text[at : at + size]))
        at += size
    out += masker.feed(b"", final=True)
    assert all(core in text for core in cores), "every form was printed"
    print(f"{printed} secrets in {len(text)} bytes; {out.count(MARK)} marks")
    assert [core for core in cores if core in out] == []
    assert out.count(MARK) >= printed


def test_only_what_may_begin_a_secret_is_held_back() -> None:
    masker = Masker(_forms(KEY))
    assert masker.feed(b"a line\n") == b"a line\n"
    assert masker.feed(b"another s") == b"another "
    assert masker.feed(b"k") == b""
    assert masker.feed(b"y\n") == b"sky\n"
    assert masker.feed(KEY.encode()[:-1]) == b""
    assert masker.feed(KEY.encode()[-1:] + b"\n") == MARK + b"\n"


def test_what_is_held_back_is_bounded() -> None:
    masker, most = Masker(_forms("aaaaaaaab")), 0
    for _ in range(1000):
        masker.feed(b"a" * 50)
        most = max(most, len(masker._text))
    assert most < 500


def test_a_short_line_of_a_secret_is_no_secret_by_itself() -> None:
    forms = _forms("one\ntwo\nthree-and-four")
    assert masked(b"one two\n", forms) == b"one two\n"
    assert masked(b"> three-and-four <", forms) == b"> " + MARK + b" <"
    assert masked(b"one\r\ntwo\r\nthree-and-four", forms) == MARK


def test_a_credential_is_masked_beside_the_secrets() -> None:
    credential = "qtm_0123456789ab_" + "C" * 43 + "_abcdef"
    forms = _forms(KEY, credential=credential)
    assert (
        masked(f"{credential} {KEY} {base64.b64encode(credential.encode()).decode()}".encode(), forms).count(MARK) == 3
    )
    assert forms_of(()) is None


def test_a_secret_at_the_cut_of_a_line_or_beside_broken_characters_is_whole_in_neither() -> None:
    masker, cleaner = Masker(_forms(KEY)), Cleaner(30, str)
    text = b"x" * 20 + KEY.encode() + b"\n\xff\xfe" + KEY.encode() + b"\xc3\n"
    out = "".join(cleaner.feed(masker.feed(text[at : at + 1])) for at in range(len(text)))
    out += cleaner.feed(masker.feed(b"", final=True), final=True)
    assert "sk-proj" not in out and out.count(MARK.decode()) == 2
    unmasked = Cleaner(30, str)
    assert "sk-proj" in unmasked.feed(text, final=True)
