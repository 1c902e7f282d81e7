"""Who calls and what they may do."""

from __future__ import annotations

import asyncio

import pytest

from foundation.auth import Caller, allows, calling_as, current_caller
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
