"""Cron expressions: what is wrong with one as a sentence, and when one is due, by three reckonings that must agree."""

import random
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest

from services.coordinator.domain.cron import COUNT_MAX, Due, due_between, next_after, read_cron, read_zone, times_after
from tests.programs import require

BERLIN = "Europe/Berlin"
START = datetime(2027, 1, 31, 12, 34, 56, tzinfo=UTC)
LOOKED_AT = timedelta(days=366 * 9)
COUNT = 5


def at(day: int, hour: int, minute: int = 0, *, month: int) -> datetime:
    return datetime(2027, month, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "read"),
    [("0 6 * * *", "0 6 * * *"), (" 0  6 * * mon-fri ", "0 6 * * mon-fri"), ("@daily", "0 0 * * *")],
)
def test_expressions_and_nicknames_are_read(text: str, read: str) -> None:
    assert read_cron(text) == read


@pytest.mark.parametrize(
    ("text", "said", "nearest"),
    [
        ("0 25 * * *", "has “25” where its hour (0-23) should be", "0 23 * * *"),
        ("0 24 * * *", "has “24” where its hour", "0 0 * * *"),
        ("60 * * * *", "has “60” where its minute (0-59) should be", "0 * * * *"),
        ("*/0 * * * *", "has “*/0” where its minute", "* * * * *"),
        ("@dayly", "has 1 field where an expression has five", "@daily"),
        ("daily", "has 1 field", "@daily"),
        ("every 5 minutes", "has 3 fields", "*/5 * * * *"),
        ("0 6 * *", "has 4 fields", "0 6 * * *"),
        ("0 0 6 * * *", "has 6 fields", "0 6 * * *"),
        ("0 0 30 2 *", "never comes: no month that it names has the day 30", "0 0 L 2 *"),
        ("0 22-2 * * *", "has “22-2” where its hour", "0 22-23,0-2 * * *"),
        ("0 9 * * MONDAY-FRIDAY", "where its day of the week", "0 9 * * MON-FRI"),
        ("0 9 * * SAT-SUN", "where its day of the week", "0 9 * * 6,0"),
        ("0 9 * * FRI-MON", "where its day of the week", "0 9 * * 5-6,0-1"),
        ("0 0 ? * *", "where its day of the month", "0 0 * * *"),
    ],
)
def test_a_wrong_one_is_a_sentence_with_the_nearest_right_one(text: str, said: str, nearest: str) -> None:
    with pytest.raises(ValueError, match="Did you mean") as caught:
        read_cron(text)
    assert said in str(caught.value)
    assert str(caught.value).endswith(f"Did you mean “{nearest}”?")
    assert read_cron(nearest)


@pytest.mark.parametrize("text", ["", "rubbish", "a b c d e", "@reboot"])
def test_what_is_near_nothing_gets_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="Write it like “0 6"):
        read_cron(text)


@pytest.mark.parametrize(
    ("name", "nearest"), [("Europe/berlin", BERLIN), ("Berlin", BERLIN), ("Europe/Berln", BERLIN), ("Mars/Olympus", "")]
)
def test_a_wrong_zone_is_a_sentence_with_the_nearest_right_one(name: str, nearest: str) -> None:
    with pytest.raises(ValueError, match="is not a time zone that this machine knows") as caught:
        read_zone(name)
    assert (f"Did you mean “{nearest}”?" if nearest else "Write it like") in str(caught.value)
    assert read_zone(BERLIN) == BERLIN


# In UTC, written out, around the two changes of Berlin's clocks: 28 March, 02:00 → 03:00; 31 October, 03:00 → 02:00.
@pytest.mark.parametrize(
    ("cron", "due"),
    [
        # A time of day that is leapt over comes at the first moment after the leap, once.
        ("30 2 * * *", [at(28, 1, month=3), at(29, 0, 30, month=3), at(30, 0, 30, month=3)]),
        ("0,30 1-3 * * *", [at(28, 0, month=3), at(28, 0, 30, month=3), at(28, 1, month=3), at(28, 1, 30, month=3)]),
        # An interval follows the hours as they pass.
        ("0 * * * *", [at(27, 23, month=3), at(28, 0, month=3), at(28, 1, month=3), at(28, 2, month=3)]),
        ("*/30 2 * * *", [at(29, 0, month=3), at(29, 0, 30, month=3)]),
        ("0 3 * * *", [at(28, 1, month=3), at(29, 1, month=3)]),
    ],
)
def test_when_berlin_leaps_to_summer(cron: str, due: list[datetime]) -> None:
    assert list(islice(times_after(cron, BERLIN, at(27, 22, 59, month=3)), len(due))) == due


@pytest.mark.parametrize(
    ("cron", "due"),
    [
        # A time of day that comes twice counts the first time.
        ("30 2 * * *", [at(31, 0, 30, month=10), datetime(2027, 11, 1, 1, 30, tzinfo=UTC)]),
        ("0 3 * * *", [at(31, 2, month=10), datetime(2027, 11, 1, 2, 0, tzinfo=UTC)]),
        ("0 * * * *", [at(30, 22, month=10), *(at(31, hour, month=10) for hour in range(3))][1:]),
        ("*/30 2 * * *", [at(31, 0, month=10), at(31, 0, 30, month=10), at(31, 1, month=10), at(31, 1, 30, month=10)]),
    ],
)
def test_when_berlin_goes_back_to_winter(cron: str, due: list[datetime]) -> None:
    assert list(islice(times_after(cron, BERLIN, at(30, 23, 1, month=10)), len(due))) == due


@pytest.mark.parametrize("minute", range(0, 60, 7))
def test_from_within_the_hour_that_comes_twice_nothing_comes_again(minute: int) -> None:
    """At the second 02:xx, the 02:30 of that day is over."""
    second_time = at(31, 1, minute, month=10)
    assert next_after("30 2 * * *", BERLIN, second_time) == datetime(2027, 11, 1, 1, 30, tzinfo=UTC)
    assert next_after("0,30 1-3 * * *", BERLIN, second_time) == at(31, 2, month=10)


def test_however_long_it_was_the_last_due_time_is_found_and_the_count_stays_small() -> None:
    begin, end = datetime(1990, 1, 1, tzinfo=UTC), datetime(2027, 1, 15, 0, 0, 30, tzinfo=UTC)
    assert due_between("* * * * *", "UTC", begin, end) == Due(end.replace(second=0), COUNT_MAX)
    assert due_between("* 3 1 * *", "UTC", begin, end) == Due(datetime(2027, 1, 1, 3, 59, tzinfo=UTC), COUNT_MAX)
    assert due_between("0 0 29 2 *", "UTC", begin, end) == Due(datetime(2024, 2, 29, tzinfo=UTC), 9)
    assert due_between("0 * * * *", "UTC", end - timedelta(hours=40), end) == Due(end.replace(second=0), 40)
    assert due_between("0 0 * * *", "UTC", end, end + timedelta(hours=20)) is None


# -- 200 random expressions


class Expression:
    """A random expression, and the values of each of its fields as they were drawn."""

    BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))

    def __init__(self, dice: random.Random) -> None:
        drawn = [self._field(dice, *bounds) for bounds in self.BOUNDS]
        if dice.random() < 0.7:  # most name one kind of day alone, as people's do
            drawn[dice.choice((2, 4))] = ("*", frozenset(range(32)))
        self.text = " ".join(text for text, _ in drawn)
        self.minutes, self.hours, self.days, self.months, self.weekdays = (values for _, values in drawn)
        self.both = drawn[2][0][0] != "*" and drawn[4][0][0] != "*"

    @staticmethod
    def _field(dice: random.Random, least: int, most: int) -> tuple[str, frozenset[int]]:
        match dice.randrange(5):
            case 0:
                return "*", frozenset(range(least, most + 1))
            case 1:
                step = dice.randint(2, max(2, most // 3))
                return f"*/{step}", frozenset(range(least, most + 1, step))
            case 2:
                first, last = sorted((dice.randint(least, most), dice.randint(least, most)))
                return f"{first}-{last}", frozenset(range(first, last + 1))
            case 3:
                values = frozenset(dice.randint(least, most) for _ in range(dice.randint(2, 4)))
                return ",".join(map(str, sorted(values))), values
            case _:
                value = dice.randint(least, most)
                return str(value), frozenset({value})

    def matches_day(self, day: datetime) -> bool:
        dom, dow = day.day in self.days, (day.weekday() + 1) % 7 in self.weekdays
        return day.month in self.months and (dom or dow if self.both else dom and dow)

    def brute_force(self, after: datetime) -> Iterator[datetime]:
        """Every minute of every day that matches, in UTC, where clocks are never changed."""
        for number in range(LOOKED_AT.days):
            day = after.replace(hour=0, minute=0, second=0) + timedelta(days=number)
            if not self.matches_day(day):
                continue
            for hour in sorted(self.hours):
                for minute in sorted(self.minutes):
                    moment = day.replace(hour=hour, minute=minute)
                    if moment > after:
                        yield moment

    def calendar(self) -> str:
        """The same for systemd; only where it is not either of two kinds of days."""

        def listed(values: frozenset[int]) -> str:
            return ",".join(str(value) for value in sorted(values))

        names = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
        days = ",".join(names[value] for value in sorted(self.weekdays) if value < 7)
        dates = listed(frozenset(value for value in self.days if value))
        return f"{days} *-{listed(self.months)}-{dates} {listed(self.hours)}:{listed(self.minutes)}:00 UTC"


def expressions(count: int) -> list[Expression]:
    dice = random.Random(20270328)
    drawn: list[Expression] = []
    while len(drawn) < count:
        expression = Expression(dice)
        if next(expression.brute_force(START), None) is not None:  # some draw the 31st of short months
            drawn.append(expression)
    return drawn


def ours(expression: Expression) -> list[datetime]:
    return list(islice(times_after(read_cron(expression.text), "UTC", START), COUNT))


def test_two_hundred_random_expressions_are_due_as_brute_force_has_it() -> None:
    drawn = expressions(200)
    either = sum(expression.both for expression in drawn)
    print(f"200 expressions, {either} of them with either of two kinds of days")
    assert 10 < either < 100
    for expression in drawn:
        assert ours(expression) == list(islice(expression.brute_force(START), COUNT)), expression.text


def test_brute_force_sees_an_expression_that_is_reckoned_wrong() -> None:
    """The control: the same comparison, with the two kinds of days taken together."""
    wrong = 0
    for expression in expressions(200):
        due = ours(expression)
        expression.both = False
        wrong += due != list(islice(expression.brute_force(START), COUNT))
    print(f"{wrong} of 200 expressions would be due at other times if both kinds of days had to match")
    assert wrong > 0


def systemd_says(expressions: list[Expression]) -> list[list[datetime]]:
    """The next times of each, by one call of systemd-analyze."""
    told = subprocess.run(
        [
            require("systemd-analyze", "systemd"),
            "calendar",
            f"--base-time={START:%Y-%m-%d %H:%M:%S} UTC",
            f"--iterations={COUNT}",
        ]
        + [expression.calendar() for expression in expressions],
        env={"PATH": "/usr/bin:/bin", "TZ": "UTC", "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    answers = []
    for block in told.strip().split("\n\n"):
        lines = [
            line for line in block.splitlines() if "Next elapse:" in line or "Iter." in line or "Iteration" in line
        ]
        moments = [line.partition(": ")[2].split()[1:3] for line in lines]
        answers.append([datetime.fromisoformat(" ".join(moment)).replace(tzinfo=UTC) for moment in moments])
    return answers


def test_two_hundred_random_expressions_are_due_as_systemd_has_it() -> None:
    drawn = [expression for expression in expressions(290) if not expression.both][:200]
    assert len(drawn) == 200
    for expression, told in zip(drawn, systemd_says(drawn), strict=True):
        assert ours(expression) == told, (expression.text, expression.calendar())


def test_systemd_has_the_times_of_another_expression_otherwise() -> None:
    """The control: told of an expression, it does not agree with the next one's times."""
    drawn = [expression for expression in expressions(60) if not expression.both]
    told = systemd_says(drawn)
    differ = sum(ours(drawn[number - 1]) != told[number] for number in range(len(drawn)))
    print(f"{differ} of {len(drawn)} differ")
    assert differ > len(drawn) // 2
