"""Placement against its plain definition: who may have an attempt, and exactly one reason where nobody may."""

from collections import Counter
from copy import deepcopy

from hypothesis import given, settings
from hypothesis import strategies as st

from services.coordinator.domain.placement import Need, Room, Share, place, refusal, share_of

KEYS, VALUES = ("os", "gpu", "disk"), ("a", "b")
LABELS = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES))
SIZES = st.integers(0, 20)


@st.composite
def shares(draw: st.DrawFn) -> Share | None:
    if not draw(st.booleans()):
        return None
    sizes = Counter(draw(st.lists(SIZES, max_size=6)))
    return share_of(draw(st.integers(0, 60)), draw(st.integers(1, 5)), sizes, always_bytes=draw(SIZES))


@st.composite
def rooms(draw: st.DrawFn) -> list[Room]:
    return [
        Room(
            name=f"r{number}",
            labels=draw(LABELS),
            leases=draw(st.sampled_from((0, 0, 0, 1, 3))),
            services=draw(st.integers(0, 2)),
            slots=3,
            services_max=2,
            checks=draw(st.integers(0, 2)),
            checks_max=2,
            tasks=draw(st.integers(0, 2)),
            held_reason=draw(st.sampled_from(("", "", "It is busy."))),
            no_checks=draw(st.sampled_from(("", "", "Its disk is short."))),
            draining=draw(st.sampled_from((False, False, True))),
            whole=draw(shares()),
            now=draw(shares()),
        )
        for number in range(draw(st.integers(0, 4)))
    ]


NEEDS = st.builds(
    lambda labels, kind, size, alone: Need(labels, kind == "service", size, alone, kind == "check"),
    st.one_of(st.just({}), LABELS),
    st.sampled_from(("task", "task", "service", "check")),
    SIZES,
    st.booleans(),
)
seen: Counter[str] = Counter()


@settings(max_examples=500, deadline=None, derandomize=True)
@given(NEEDS, rooms())
def test_a_place_is_found_or_refused_for_one_reason_and_never_both(need: Need, all_rooms: list[Room]) -> None:
    before = deepcopy(all_rooms)
    found, why = place(need, all_rooms), refusal(need, all_rooms)
    assert (found is None) == (why is not None)
    assert all_rooms == before, "asking takes nothing"
    seen[why.code if why else "placed"] += 1
    if why is not None:
        assert why.sentence.endswith(".")


def test_every_reason_was_met() -> None:
    print(dict(seen))
    assert set(seen) == {"placed", "no_runner", "labels", "host", "services", "checks", "capacity", "memory"}


@given(st.lists(NEEDS, max_size=30), rooms())
def test_nothing_goes_where_a_label_is_missing_or_a_place_or_memory(needs: list[Need], all_rooms: list[Room]) -> None:
    for need in needs:
        left = {room.name: (room.leases, room.services, room.checks, room.tasks) for room in all_rooms}
        taken = {room.name: [share and share.taken_bytes for share in (room.whole, room.now)] for room in all_rooms}
        room = place(need, all_rooms)
        if room is None:
            continue
        assert all(room.labels.get(key) == value for key, value in need.labels.items())
        assert not room.draining and not room.holds_back(need)
        leases, services, checks, tasks = left[room.name]
        assert (services if need.service else checks if need.check else leases) > 0
        room.take(need)
        after = (leases - (not need.beside), services - need.service, checks - need.check)
        assert (room.leases, room.services, room.checks) == after
        excused = need.alone or need.check or (tasks == 0 and not need.service)
        for share, was in zip((room.whole, room.now), taken[room.name], strict=True):
            if share is not None and not excused:
                assert share.taken_bytes in (was, min(share.taken_bytes, share.bytes_max))


@given(st.lists(SIZES, max_size=12), st.integers(1, 5), SIZES)
def test_a_share_counts_the_largest_that_may_run_at_the_same_time(sizes: list[int], places: int, always: int) -> None:
    share = Share(bytes_max=1_000, places=places, taken_bytes=always)
    for at, size in enumerate(sizes):
        expected = always + sum(sorted([*sizes[:at], size])[-places:])
        assert share.taken_bytes + share.more(size, service=False) == expected
        share.take(size, service=False)
        assert share.taken_bytes == expected
    assert share == share_of(1_000, places, Counter(sizes), always_bytes=always)
