"""Two coordinators, crashes at every step, clocks that jump: safety's breakers against a simple reference of them.

No divergence, never two probes, never stuck. Each protection is also taken out, and then the same walk finds it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context

import pytest

from services.safety.domain.attempt import AttemptKey
from services.safety.domain.book import Book
from services.safety.domain.breaker import Breaker, StateName
from tests.safety.breaker_walk import walk

STEPS = 6_000
STEPS_LONG = 1_000_000
EPISODE = 10_000


def episode(seed: int) -> Counter[str]:
    """For a process of its own."""
    return asyncio.run(walk(seed, EPISODE))


RARE = (
    "safety killed before a commit",
    "safety killed after a commit",
    "restarts with a probe out",
    "clock set forward",
    "clock set back",
    "answers lost",
    "attempts lost",
    "probes of agent",
    "probes of cloud",
    "probes of project",
    "probes of fleet",
    "half_open → closed",
    "half_open → open",
)


def tell(count: Counter[str]) -> None:
    """What happened, and how often."""
    print(f"{count['steps']:,} steps, 0 divergences, never two probes, never stuck:")
    print("  " + "; ".join(f"{name} {number:,}" for name, number in sorted(count.items()) if name != "steps"))


async def test_the_reference_and_the_service_agree_step_by_step() -> None:
    count = await walk(1, STEPS)
    tell(count)
    assert not [name for name in RARE if not count[name]]


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_million_steps() -> None:
    total: Counter[str] = Counter()
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for count in pool.map(episode, range(100, 100 + STEPS_LONG // EPISODE)):
            total.update(count)
    tell(total)
    assert total["steps"] >= STEPS_LONG
    assert min(total[name] for name in RARE) >= 100


# -- controls: each protection is taken out, and the same walk finds it


@contextmanager
def without(target: type, name: str, instead: Callable[..., object]) -> Iterator[None]:
    """The method replaced for a time."""
    kept = getattr(target, name)
    setattr(target, name, instead)
    try:
        yield
    finally:
        setattr(target, name, kept)


def _let_everybody_through(breaker: Breaker, attempt: AttemptKey, now: object) -> bool:
    return breaker.state.name not in (StateName.OPEN, StateName.FORCED_OPEN)


CONTROLS: dict[str, tuple[type, str, Callable[..., object]]] = {
    "a permit that does not begin anew at a restart": (Breaker, "loaded", lambda breaker, now: breaker),
    "waits that a set clock moves": (Book, "follow_clock", lambda book, step: None),
    "a half-open breaker without a permit": (Breaker, "lets_through", _let_everybody_through),
    "permits that nobody renews": (Breaker, "renew", lambda breaker, attempt, rules, now: breaker),
}


@pytest.mark.parametrize("name", CONTROLS)
async def test_control_without_a_protection_the_walk_fails(name: str) -> None:
    with without(*CONTROLS[name]), pytest.raises(AssertionError) as found:
        await walk(1, STEPS)
    print(f"without it ({name}): {str(found.value).splitlines()[0][:160]}")


async def test_control_a_store_that_forgets_is_found() -> None:
    with pytest.raises(AssertionError):
        await walk(1, STEPS, forgets_breakers=True)
