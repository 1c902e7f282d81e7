"""`make bench`: takes every figure in one interleaved run, prints a table and writes JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from benchmarks import admission, backlog, enqueue, idle, latency, limits, sandbox, throughput

RESULTS = Path(__file__).parent / "results" / "latest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the table; `measured` is a ratio unless the name has a unit, `at_least` says which way is good."""

    name: str
    measured: float
    must: float
    at_least: bool
    detail: str = ""

    @property
    def met(self) -> bool:
        return self.measured >= self.must if self.at_least else self.measured <= self.must


def p(values: Sequence[float], share: float) -> float:
    """The value below which this share of the values lies."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))]


def ratios(over: Sequence[float], under: Sequence[float]) -> float:
    """Median of the ratios round by round, so that a change of the machine's speed hits both sides."""
    return statistics.median(a / b for a, b in zip(over, under, strict=True))


def throughput_figures(rounds: int, tasks: int) -> list[Figure]:
    rates = throughput.measure(rounds, tasks)
    detail = ", ".join(f"{name} {statistics.median(each):.0f}/s" for name, each in rates.items())
    musts = {"xargs": 0.75, "parallel": 3.5}
    return [
        Figure(
            name=f"throughput ÷ {peer}",
            measured=ratios(rates["quantum"], rates[peer]),
            must=must,
            at_least=True,
            detail=detail,
        )
        for peer, must in musts.items()
        if peer in rates
    ]


def latency_figures(samples: int) -> list[Figure]:
    took = latency.measure(samples)
    figures = []
    for share, must in ((0.5, 1.6), (0.99, 2.0)):
        ours, floor = p(took["quantum"], share), p(took["floor"], share)
        detail = f"{ours:.2f} ms, floor {floor:.2f} ms"
        name = f"submit→start p{share * 100:.0f} ÷ (two echoes + a spawn)"
        figures.append(Figure(name=name, measured=ours / floor, must=must, at_least=False, detail=detail))
    return figures


def enqueue_figures(rounds: int, calls: int) -> list[Figure]:
    rates = enqueue.measure(rounds, calls)
    detail = ", ".join(f"{name} {statistics.median(each):.0f} rows/s" for name, each in rates.items())
    names = {"quantum": "durable enqueue ÷ raw SQLite", "together": f"the same, {enqueue.TOGETHER} callers at a time"}
    return [
        Figure(name=name, measured=ratios(rates[which], rates["raw"]), must=0.15, at_least=True, detail=detail)
        for which, name in names.items()
    ]


def idle_figures(seconds: float) -> list[Figure]:
    figures = []
    for name, rest in idle.measure(seconds).items():
        rss_max = 100 if name == "gateway" else 60
        rss = rest.rss_mb + (rest.helpers_rss_mb if name == "gateway" else 0)
        detail = f"with {rest.helpers_rss_mb:.0f} MB in helper processes" if rest.helpers_rss_mb else ""
        figures.append(
            Figure(name=f"idle CPU of {name}, % of a core", measured=rest.cpu_percent, must=1, at_least=False)
        )
        figures.append(
            Figure(name=f"idle RSS of {name}, MB", measured=rss, must=rss_max, at_least=False, detail=detail)
        )
    return figures


def backlog_figures(tasks: int, samples: int) -> list[Figure]:
    took = backlog.claims(tasks, samples)
    full, empty = p(took["full"], 0.99), p(took["empty"], 0.99)
    claim = Figure(
        name=f"claim p99, {tasks:,} queued ÷ empty",
        measured=full / empty,
        must=2,
        at_least=False,
        detail=f"{full:.2f} ms, {empty:.2f} ms",
    )
    first = Figure(
        name=f"first dispatch after a start on {tasks:,}, s",
        measured=backlog.first_dispatch(tasks),
        must=5,
        at_least=False,
    )
    return [claim, first]


def admission_figures(tasks: int) -> list[Figure]:
    shares = admission.shares(tasks)
    rest = sum(shares.values()) - shares["safety"]
    detail = ", ".join(f"{name} {each:.0f} µs" for name, each in shares.items())
    return [
        Figure(
            name="safety's CPU ÷ the rest of the control plane",
            measured=shares["safety"] / rest,
            must=0.10,
            at_least=False,
            detail=f"{detail} a task",
        ),
        Figure(
            name="token validation with a live stream, µs",
            measured=statistics.median(admission.token_microseconds(7, 2_000)),
            must=50,
            at_least=False,
        ),
    ]


def sandbox_figures(rounds: int, tasks: int) -> list[Figure]:
    rates = sandbox.measure(rounds, tasks)
    detail = ", ".join(f"{name} {statistics.median(each):.0f}/s" for name, each in rates.items())
    # Reported; there is no bound for these.
    return [
        Figure(
            name=f"throughput ÷ xargs, {name}",
            measured=ratios(rates[name], rates["xargs"]),
            must=0.0,
            at_least=True,
            detail=detail,
        )
        for name in ("sandbox", "run_as")
    ]


def limits_figures(rounds: int, tasks: int, leak_tasks: int) -> list[Figure]:
    figures = [
        Figure(name=f"pass over 100 trees, {mode}, ms", measured=took, must=2, at_least=False)
        for mode, took in limits.sampling_milliseconds(100, 200).items()
    ]
    rates, leaks = limits.throughput_and_leak(rounds, tasks, leak_tasks)
    detail = ", ".join(f"{name} {statistics.median(each):.0f}/s" for name, each in rates.items())
    for mode, must in (("kernel", 0.60), ("supervised", 0.75)):
        ratio = ratios(rates[mode], rates["xargs"])
        figures.append(
            Figure(name=f"throughput ÷ xargs, limits {mode}", measured=ratio, must=must, at_least=True, detail=detail)
        )
    for mode, leak in leaks.items():
        growths = {
            "RSS growth, %": (leak.rss_growth_percent, 5),
            "more descriptors": (leak.descriptors, 0),
            "zombies": (leak.zombies, 0),
        }
        figures += [
            Figure(name=f"{leak_tasks:,} tasks, {mode}: {what}", measured=measured, must=must, at_least=False)
            for what, (measured, must) in growths.items()
        ]
    return figures


GROUPS = {
    "throughput": lambda quick: throughput_figures(3 if quick else 7, 500 if quick else 2_000),
    "latency": lambda quick: latency_figures(50 if quick else 500),
    "enqueue": lambda quick: enqueue_figures(3 if quick else 7, 40),
    "admission": lambda quick: admission_figures(1_000 if quick else 4_000),
    "sandbox": lambda quick: sandbox_figures(3 if quick else 5, 200 if quick else 500),
    "limits": lambda quick: limits_figures(3 if quick else 7, 500 if quick else 2_000, 1_000 if quick else 10_000),
    "idle": lambda quick: idle_figures(5 if quick else 20),
    "backlog": lambda quick: backlog_figures(20_000 if quick else 1_000_000, 100 if quick else 300),
}


@click.command()
@click.argument("groups", nargs=-1, type=click.Choice(list(GROUPS)))
@click.option("--quick", is_flag=True, help="Few rounds: shows that it works, proves nothing.")
def main(groups: tuple[str, ...], quick: bool) -> None:
    """Measure all GROUPS, or those named."""
    figures: list[Figure] = []
    for group in groups or GROUPS:
        click.echo(f"{group} …", err=True)
        figures += GROUPS[group](quick)
    width = max(len(figure.name) for figure in figures)
    for figure in figures:
        sign = "≥" if figure.at_least else "≤"
        verdict = "met" if figure.met else "NOT MET"
        bound = f"{sign} {figure.must:<6g} {verdict:8}"
        click.echo(f"{figure.name:{width}}  {figure.measured:8.2f}  {bound} {figure.detail}")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps([asdict(figure) | {"met": figure.met} for figure in figures], indent=2) + "\n")
    click.echo(f"As JSON: {RESULTS}", err=True)


if __name__ == "__main__":
    main()
