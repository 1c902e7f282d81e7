"""The form of a token."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.errors import Unauthenticated
from foundation.ids import random_bytes
from foundation.tokens import digest_of, mask, matches, mint, parse


def test_a_minted_token_is_read_back() -> None:
    token = mint(random_bytes)
    assert parse(token.text).id == token.id
    assert parse(token.text).digest == token.digest == hashlib.sha256(token.text.encode()).hexdigest()
    assert matches(parse(token.text), token.digest)
    assert not matches(parse(mint(random_bytes).text), token.digest)


def test_a_token_carries_256_random_bits_and_an_id_of_its_own() -> None:
    asked: list[int] = []

    def bytes_of_one(count: int) -> bytes:
        asked.append(count)
        return b"\xff" * count

    token = mint(bytes_of_one)
    assert 32 in asked
    assert [len(part) for part in token.text.split("_")] == [3, 12, 43, 6]
    assert token.text.split("_")[1] == token.id


def test_the_text_is_not_shown_by_accident() -> None:
    token = mint(random_bytes)
    assert token.text not in repr(token)


@given(st.integers(min_value=0, max_value=66), st.sampled_from("0aZ_ é\n"))
def test_one_wrong_character_is_noticed(position: int, character: str) -> None:
    text = mint(lambda count: bytes(range(count))).text
    wrong = text[:position] + character + text[position + 1 :]
    if wrong != text:
        with pytest.raises(Unauthenticated) as caught:
            parse(wrong)
        assert wrong not in str(caught.value)


@pytest.mark.parametrize("text", ["", "your-token", "qtm_", "qtm_a_b_c", "x" * 10_000])
def test_what_is_no_token(text: str) -> None:
    with pytest.raises(Unauthenticated) as caught:
        parse(text)
    assert caught.value.code == "malformed_token"
    assert "quantum token show" in caught.value.remedy


def test_tokens_are_masked_wherever_they_stand() -> None:
    token = mint(random_bytes).text
    assert mask(f'{{"a": "{token}", "b": "{token[:30]}"}}') == '{"a": "qtm_…", "b": "qtm_…"}'
    assert mask("nothing here") == "nothing here"
    assert digest_of(token) not in mask(token)
