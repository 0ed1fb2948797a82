"""The traces: as big as they say, the same each time, and with the numbers of the records that they name."""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from datetime import date
from pathlib import Path
from random import Random

import pytest
from tests.simulation.traces import DAYS, SIZES, TRACES, agency_size, burst, item_seconds, nightly, noisy, poison

CHICAGO = Path(__file__).parents[2] / "../shared/data/chicago"
HISTORY = CHICAGO / "unit_history_2016-12.csv.gz"


@pytest.mark.parametrize("name", TRACES)
def test_a_trace_is_the_same_each_time_and_in_the_order_of_time(name: str) -> None:
    trace, again = (TRACES[name](0.01) for _ in range(2))
    times = [item.at for item in trace.world.items]
    assert (name, sorted(times), trace.world) == (trace.name, times, again.world)
    assert trace.world.items


def test_the_burst_is_a_million_items() -> None:
    assert 10_000 == len(burst(0.01).world.items)


def test_the_nightly_batch_is_of_three_hundred_agencies_of_very_unequal_size() -> None:
    sizes = Counter(item.agency for item in nightly().world.items)
    ordered = sorted(sizes.values())
    assert (300, True) == (len(sizes), ordered[-1] > 20 * ordered[150])


def test_one_agency_is_noisy_and_ninety_nine_are_not() -> None:
    items = noisy().world.items
    assert (60_000, 100) == (sum(item.agency == 0 for item in items), len({item.agency for item in items}))


def test_five_thousand_items_are_poison() -> None:
    assert 5_000 == sum(item.always is not None for item in poison().world.items)


def test_an_item_takes_two_seconds_in_the_mean_and_never_more_than_the_chart_allows() -> None:
    chance = Random(1)
    drawn = [item_seconds(chance) for _ in range(50_000)]
    assert 2.0 == pytest.approx(sum(drawn) / len(drawn), rel=0.05)
    assert max(drawn) < 120


def test_agencies_between_two_twentieths_lie_on_the_line_between_them() -> None:
    assert [1, 2, 13_827] == [agency_size(share) for share in (0, 0.025, 1)]


@pytest.mark.skipif(not HISTORY.is_file(), reason="the real input (../shared/data/chicago) is not here")
def test_the_counts_are_those_of_the_real_records() -> None:
    with gzip.open(HISTORY, "rt", encoding="utf-8", newline="") as text:
        rows = list(csv.DictReader(text))
    sizes = sorted(Counter(row["unit"] for row in rows).values())
    days = Counter(row["unit_start_date"] for row in rows if row["unit_start_date"].startswith("2012"))
    first = date(2012, 1, 1)
    assert DAYS == {(date.fromisoformat(day) - first).days: count for day, count in sorted(days.items())}
    assert list(SIZES) == [sizes[round(place * (len(sizes) - 1) / 20)] for place in range(21)]
