"""What a lane gets to do, minute by minute: arrivals, work and weather, each number from somewhere that is named.

*benchmarks* is docs/benchmarks.md; *S3* is Amazon's "Best practices design patterns: optimizing Amazon S3 performance"
and its "Performance guidelines"; *Chicago* are a police department's public records (../shared/data/chicago), of which
only counts stand here: `test_traces` counts them again.
"""

from __future__ import annotations

from bisect import bisect
from dataclasses import dataclass
from itertools import accumulate
from math import log
from random import Random
from typing import TYPE_CHECKING, Final

from tests.simulation.world import Fate, Item, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Slowed = tuple[tuple[float, float, float], ...]

MINUTE: Final = 60.0
HOUR: Final = 3600.0
DAYS_A_YEAR: Final = 366
SAMPLED_EVERY: Final = 15.0
LAG: Final = 30.0
"""How old SQS's counts may be: half of the minute after which it promises that they are right."""
SLOTS: Final = 20 * 8
"""Items in work at once with the chart's most pods."""

REQUESTS: Final = 4
"""One after the other, of an item that is copied: look, read, write, marker."""
REQUEST: Final = 0.15
"""S3: small objects take "roughly 100-200 milliseconds"."""
ROWS_A_SECOND: Final = 192_438 * 0.5
"""Benchmarks: rows a CPU second of refining; a pod asks for half a CPU (charts/…/values.yaml, resources)."""
SMALLEST_FILE, LARGEST_FILE = 32_446, 10_000_000
"""Rows. Chicago: the roster. Benchmarks: the file of 1 GB."""
REFINED: Final = 1 / 13
"""The share of items that are files to be refined: it makes the mean the chart's `typicalItem`, two seconds."""
SCATTER: Final = 3_900.0
"""Benchmarks: messages a second that a controller sends."""

SIZES: Final = tuple(
    int(size)
    for size in "1 3 10 15 23 32 54 83 110 119 134 157 173 217 297 364 505 842 1924 2713 13827".split()  # noqa: SIM905 - read as one line
)
"""Chicago: unit assignments by unit, each twentieth of the 218 units by size: how big agencies are."""
_DAYS: Final = """
0:36 2:23 4:1 7:7 15:1 23:5 29:1 33:1 35:122 63:905 64:4 75:7 77:3 91:32 93:2 94:3 95:1 103:1 109:1 113:1
119:5 123:2 136:1 138:1 147:56 152:1 154:11 155:2 169:1 175:21 183:36 187:5 198:2 200:1 203:24 213:25 215:3
220:8 221:1 222:4 225:2 228:1 231:33 232:2 243:46 244:77 256:1 257:5 259:57 260:1 261:1 268:1 278:61 283:1
287:52 291:1 295:1 298:1 301:1 304:75 305:55 315:200 318:1 334:99 338:1 347:1 348:76 351:5 353:255
"""
DAYS: Final = {int(day): int(count) for day, _, count in (pair.partition(":") for pair in _DAYS.split())}
"""Chicago: unit assignments by their first day, of the days of 2012 that have any."""


@dataclass(frozen=True, slots=True)
class Trace:
    """A history with its name. ``says`` is one sentence for those who read the figures."""

    name: str
    says: str
    world: World


def item_seconds(chance: Random) -> float:
    """Draw how long one item takes: all are copied, one in thirteen is refined."""
    return _copy_seconds(chance) + (_refine_seconds(chance) if chance.random() < REFINED else 0.0)


def agency_size(share: float) -> int:
    """Return the items of the agency below which this share of agencies are, between the twentieths in a line."""
    place = share * (len(SIZES) - 1)
    below = min(int(place), len(SIZES) - 2)
    return round(SIZES[below] + (place - below) * (SIZES[below + 1] - SIZES[below]))


AGENCIES: Final = 300
_SHARES: Final = [
    share / sum(agency_size((number + 0.5) / AGENCIES) for number in range(AGENCIES))
    for share in accumulate(agency_size((number + 0.5) / AGENCIES) for number in range(AGENCIES))
]


def steady(scale: float = 1.0, seed: int = 1) -> Trace:
    """Ten items a second: two and a half pods' work."""
    chance = Random(seed)
    items = [_item(at, chance) for at in _poisson(chance, 10, 2 * HOUR * scale)]
    return _trace("steady", "ten items a second for two hours", items, seed)


def heavy(scale: float = 1.0, seed: int = 8) -> Trace:
    """Files to refine alone, a third of a minute each: as much work as `steady`, in a tenth of the items."""
    chance = Random(seed)
    items = [Item(at, _copy_seconds(chance) + _refine_seconds(chance)) for at in _poisson(chance, 1, 2 * HOUR * scale)]
    return _trace("heavy", "one file to refine a second for two hours", items, seed)


def burst(scale: float = 1.0, seed: int = 2) -> Trace:
    """As fast as a controller scatters."""
    chance = Random(seed)
    items = [_item(number / SCATTER, chance) for number in range(round(1_000_000 * scale))]
    return _trace("burst", "one run of a million items", items, seed)


def nightly(scale: float = 1.0, seed: int = 3) -> Trace:
    """Agencies of the sizes of Chicago's units, each at a minute of its own."""
    chance = Random(seed)
    agencies = round(300 * scale)
    items: list[Item] = []
    for number in range(agencies):
        begins, size = MINUTE * int(120 * chance.random()), agency_size((number + 0.5) / agencies)
        items += [_item(begins + place / SCATTER, chance, number) for place in range(size)]
    return _trace("nightly", "300 agencies, each at a minute of its own of two hours", items, seed)


def noisy(scale: float = 1.0, seed: int = 4) -> Trace:
    """Agency 0 sends all at once, ninety-nine others send a few."""
    chance = Random(seed)
    quiet = [_item(at, chance, 1 + int(99 * chance.random())) for at in _poisson(chance, 1, HOUR * scale)]
    loud = [_item(600 * scale + number / SCATTER, chance, 0) for number in range(round(60_000 * scale))]
    return _trace("noisy", "one agency's 60,000 items at once, beside 99 that send one a second", quiet + loud, seed)


def poison(scale: float = 1.0, seed: int = 5) -> Trace:
    """Items that always fail, in the middle of steady work."""
    chance = Random(seed)
    good = [_item(at, chance) for at in _poisson(chance, 5, HOUR * scale)]
    bad = [
        Item(600 * scale + number / SCATTER, 2 * REQUEST, always=Fate.FAILS, agency=1)
        for number in range(round(5_000 * scale))
    ]
    return _trace("poison", "5,000 items that always fail, beside five good ones a second", good + bad, seed)


def throttled(scale: float = 1.0, seed: int = 6) -> Trace:
    """Copies alone; for ten minutes S3 lets through less than arrives, and the SDK's retries wait."""
    chance = Random(seed)
    items = [Item(at, _copy_seconds(chance)) for at in _poisson(chance, 60, HOUR / 2 * scale)]
    says = "sixty copies a second for half an hour; for ten minutes S3 is eight times as slow"
    return _trace("throttled", says, items, seed, ((600 * scale, 1200 * scale, 8.0),))


def uneven(scale: float = 1.0, seed: int = 7) -> Trace:
    """Chicago's unit assignments of 2012, a day as a minute: hours with next to nothing, then hundreds."""
    chance = Random(seed)
    items = [
        _item(MINUTE * (day + chance.random()), chance)
        for day, number in DAYS.items()
        if day < DAYS_A_YEAR * scale
        for _ in range(number)
    ]
    return _trace("uneven", "Chicago's unit assignments of 2012, a day as a minute", items, seed)


TRACES: Final[dict[str, Callable[..., Trace]]] = {
    made.__name__: made for made in (steady, heavy, uneven, nightly, burst, noisy, poison, throttled)
}


def _copy_seconds(chance: Random) -> float:
    return REQUESTS * REQUEST * (0.5 + chance.random())


def _refine_seconds(chance: Random) -> float:
    """Draw a file's rows, small ones as likely as big ones on a scale of magnitudes."""
    rows: float = SMALLEST_FILE * (LARGEST_FILE / SMALLEST_FILE) ** chance.random()
    return rows / ROWS_A_SECOND


def _trace(
    name: str, says: str, items: list[Item], seed: int, slowed: tuple[tuple[float, float, float], ...] = ()
) -> Trace:
    """Return the items in order, in a world that goes on until the pods have gone."""
    items.sort(key=lambda item: item.at)
    work = sum(item.seconds for item in items)
    until = items[-1].at + 2 * work / SLOTS + HOUR
    world = World(
        items,
        seed=seed,
        until=until,
        runs_on=True,
        slowed=slowed,
        is_fair=True,
        needs_database=False,
        lag=LAG,
        sampled_every=SAMPLED_EVERY,
    )
    return Trace(name, says, world)


def _item(at: float, chance: Random, agency: int | None = None) -> Item:
    """Return an item of this agency, or of one drawn: the bigger, the oftener."""
    if agency is None:
        agency = bisect(_SHARES, chance.random())
    return Item(at, item_seconds(chance), agency=agency)


def _poisson(chance: Random, rate: float, until: float) -> Iterator[float]:
    """Yield times, ``rate`` a second. Inverse transform: `Random.random` alone is promised to stay as it is."""
    at = 0.0
    while (at := at - log(1 - chance.random()) / rate) < until:
        yield at
