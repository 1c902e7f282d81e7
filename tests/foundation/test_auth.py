"""Who calls and what they may do."""

from __future__ import annotations

import asyncio

import pytest

from foundation.auth import Caller, allows, calling_as, calling_from, current_caller, current_source, said_source
from foundation.errors import Internal


@pytest.mark.parametrize(
    ("scopes", "needed", "allowed"),
    [
        (set(), "public", True),
        (set(), "read", False),
        ({"read"}, "read", True),
        ({"admin"}, "read", False),
        ({"service:gateway"}, "service", True),
        ({"service:gateway"}, "service:gateway", True),
        ({"service:gateway"}, "service:coordinator", False),
        ({"read", "admin"}, "service", False),
        ({"service"}, "service", False),
    ],
)
def test_what_a_scope_allows(scopes: set[str], needed: str, allowed: bool) -> None:
    assert allows(scopes, needed) is allowed


def test_there_is_no_caller_outside_a_call() -> None:
    with pytest.raises(Internal) as caught:
        current_caller()
    assert caught.value.code == "no_caller"


async def test_two_calls_at_once_do_not_see_each_other() -> None:
    both_in = asyncio.Barrier(2)

    async def call(name: str) -> str:
        with calling_as(Caller(token_id=name, name=name, scopes=frozenset())):
            await both_in.wait()
            return current_caller().name

    assert list(await asyncio.gather(call("one"), call("two"))) == ["one", "two"]
    with pytest.raises(Internal):
        current_caller()


def test_where_a_call_comes_from_is_said_within_the_block_alone_and_in_plain_letters() -> None:
    assert (said_source(), current_source()) == ("", "")
    with calling_from("quantum stop\nünder " + "x" * 1_000):
        assert said_source().startswith("quantum stop??nder ")
        assert len(said_source()) == 200
    with calling_as(Caller(token_id="a", name="a", scopes=frozenset()), source="there"):
        assert current_source() == "there"
    assert (said_source(), current_source()) == ("", "")
