from __future__ import annotations

import itertools
import json
import math
import random
from datetime import UTC, date, datetime, timedelta
from functools import reduce
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_core.errors import ConfigError, InvalidData
from pipeline_processing.quality import accumulator, sketches
from pipeline_processing.quality.accumulator import BLOCK, WIDE
from pipeline_processing.quality.drift import CATEGORIES, FEWEST
from pipeline_processing.quality.profile import Profile, Profiler
from pipeline_processing.quality.sketches import Distinct

SECRETS = ["123-45-6789", "987-65-4321", "123-45-6789"]


def profile(frame: pl.DataFrame, *, batch: int = 1000, classified: frozenset[str] = frozenset()) -> Profile:
    profiler = Profiler([(name, dtype, name in classified) for name, dtype in frame.schema.items()])
    for piece in frame.iter_slices(batch):
        profiler.update(piece)
    return profiler.result()


def mixed(rows: int, seed: int = 1) -> pl.DataFrame:
    chance = random.Random(seed)
    return pl.DataFrame(
        {
            "id": range(seed * 1_000_000, seed * 1_000_000 + rows),
            "unit": [f"U{chance.randrange(30):03}" for _ in range(rows)],
            "pay": [chance.gauss(60_000, 9_000) for _ in range(rows)],
            "hired": [date(1990, 1, 1) + timedelta(days=chance.randrange(9000)) for _ in range(rows)],
            "seen": [datetime(2020, 1, 1, tzinfo=UTC) + timedelta(minutes=chance.randrange(9000)) for _ in range(rows)],
            "sworn": [None if chance.random() < 0.1 else chance.random() < 0.5 for _ in range(rows)],
        }
    )


def test_a_profile_says_what_a_small_column_holds() -> None:
    told = profile(pl.DataFrame({"age": [3, 1, None, 2, 2]})).as_json()["columns"][0]
    expected = {"rows": 5, "nulls": 1, "distinct": 3, "min": 1, "max": 3, "mean": 2.0}
    assert expected == {name: told[name] for name in expected}
    assert math.isclose(told["stddev"], math.sqrt(2 / 3))
    assert {"value": "2", "count": 2} == told["top"][0]
    assert [1, 2, 3] == [told["quantiles"][rank] for rank in ("0", "0.5", "1")]


def test_texts_have_lengths_and_shapes() -> None:
    told = profile(pl.DataFrame({"badge": ["A12", "B7", "ö99", None]})).as_json()["columns"][0]
    assert {"min": 2.0, "mean": 8 / 3, "max": 3.0} == told["length"]
    assert [{"pattern": "A99", "count": 2}, {"pattern": "A9", "count": 1}] == told["patterns"]
    assert ("A12", "ö99") == (told["min"], told["max"])


def test_dates_are_shown_as_dates() -> None:
    told = profile(pl.DataFrame({"day": [date(2020, 1, 1), date(2020, 1, 3)]})).as_json()["columns"][0]
    assert ("2020-01-01", "2020-01-03") == (told["min"], told["max"])
    assert ["2020-01-01", "2020-01-02", "2020-01-03", "2020-01-04"] == told["histogram"]["edges"]
    assert [0.5, 0.0, 0.5] == told["histogram"]["shares"]


def test_nan_and_infinity_are_counted_and_touch_nothing_else() -> None:
    told = profile(pl.DataFrame({"pay": [1.0, float("nan"), float("inf"), 3.0]})).as_json()["columns"][0]
    assert (2, 0, 1.0, 3.0, 2.0) == tuple(told[name] for name in ("not_finite", "nulls", "min", "max", "mean"))
    json.dumps(told, allow_nan=False)


def test_a_classified_column_gives_counts_and_lengths_and_no_value() -> None:
    frame = pl.DataFrame({"ssn": SECRETS, "pay": [70_001, 70_002, None]})
    found = profile(frame, classified=frozenset(frame.columns))
    told = found.as_json()
    assert [(3, 0, 2), (3, 1, 2)] == [(one["rows"], one["nulls"], one["distinct"]) for one in told["columns"]]
    assert {"min": 11.0, "mean": 11.0, "max": 11.0} == told["columns"][0]["length"]
    for column in told["columns"]:
        hidden = [column[name] for name in ("min", "max", "mean", "stddev", "histogram")]
        assert ([None] * 5, {}, [], []) == (hidden, column["quantiles"], column["top"], column["patterns"])


def test_a_column_that_becomes_classified_loses_its_values_in_the_merge() -> None:
    frame = pl.DataFrame({"ssn": SECRETS})
    merged = profile(frame).merge(profile(frame, classified=frozenset({"ssn"})))
    assert "123-45-6789" not in json.dumps(merged.as_json())
    assert (6, 2) == (merged.columns[0].rows, merged.columns[0].distinct_count)


def test_all_nulls_and_no_rows_have_a_profile() -> None:
    nulls = profile(pl.DataFrame({"a": pl.Series([None, None], dtype=pl.Int64)})).columns[0]
    none = profile(pl.DataFrame({"a": pl.Series([], dtype=pl.String)})).columns[0]
    assert [(2, 2, 0, 1.0), (0, 0, 0, 0.0)] == [(c.rows, c.nulls, c.distinct_count, c.null_rate) for c in (nulls, none)]
    assert [None, None] == [nulls.histogram(), none.histogram()]


def test_a_nested_column_is_refused() -> None:
    with pytest.raises(ConfigError):
        profile(pl.DataFrame({"a": [[1]]}))


@pytest.mark.parametrize("batch", [1, 7, 997])
def test_batches_do_not_change_a_profile(batch: int) -> None:
    frame = mixed(300)
    one, other = profile(frame, batch=batch), profile(frame, batch=1000)
    for ours, theirs in zip(one.columns, other.columns, strict=True):
        assert ours.distinct == theirs.distinct
        assert (ours.low, ours.high, ours.nulls, ours.lengths) == (
            theirs.low,
            theirs.high,
            theirs.nulls,
            theirs.lengths,
        )
        assert ours.top() == theirs.top()
        assert math.isclose(ours.moments.squares, theirs.moments.squares, rel_tol=1e-9)


def test_a_wide_columns_blocks_end_at_fixed_rows() -> None:
    frame = pl.DataFrame({"id": range(BLOCK + 5000)}).with_columns(pl.col("id").cast(pl.String))
    one, other = profile(frame, batch=8191).columns[0], profile(frame, batch=100_000).columns[0]
    assert (True, True) == (one.is_sampled, other.is_sampled)
    assert (one.distinct, one.shapes, one.frequent) == (other.distinct, other.shapes, other.frequent)


def test_values_that_are_left_out_of_the_count_for_they_came_before_change_nothing() -> None:
    chance = random.Random(3)
    values = [f"name {chance.randrange(20_000)}" for _ in range(2 * BLOCK + 9000)]
    found = [profile(pl.DataFrame({"a": values}), batch=batch).columns[0] for batch in (7000, BLOCK, len(values))]
    fed_one_by_one = Distinct()
    fed_one_by_one.update(values)
    assert {fed_one_by_one.to_bytes()} == {column.distinct for column in found}


def test_the_same_input_gives_the_same_bytes_while_kll_keeps_all_values() -> None:
    assert profile(mixed(300)).to_bytes() == profile(mixed(300)).to_bytes()


def test_a_profile_reads_back_as_it_was_written() -> None:
    found = profile(mixed(500), classified=frozenset({"pay"}))
    assert found == Profile.from_bytes(found.to_bytes())


@pytest.mark.parametrize("data", [b"", b"nonsense", b"(\xb5/\xfd\x04X\x11\x00\x00{}"])
def test_what_is_no_profile_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidData):
        Profile.from_bytes(data)


def test_merged_profiles_are_those_of_both_files() -> None:
    left, right = mixed(4000, seed=1), mixed(6000, seed=2)
    merged, whole = profile(left).merge(profile(right)), profile(pl.concat([left, right]))
    assert (10_000, 2) == (merged.rows, merged.files)
    for ours, theirs in zip(merged.columns, whole.columns, strict=True):
        assert (theirs.rows, theirs.nulls, theirs.low, theirs.high) == (ours.rows, ours.nulls, ours.low, ours.high)
        assert math.isclose(theirs.moments.mean, ours.moments.mean, rel_tol=1e-9)
        assert math.isclose(theirs.moments.squares, ours.moments.squares, rel_tol=1e-9)
        assert abs(theirs.distinct_count - ours.distinct_count) <= 0.06 * theirs.distinct_count
    assert whole.columns[1].top() == merged.columns[1].top()


def test_quantiles_stay_within_the_stated_error_of_rank() -> None:
    frame = mixed(20_000)
    halves = [profile(half) for half in frame.iter_slices(5_000)]
    sketch = reduce(Profile.merge, halves).columns[2].sketch()
    assert sketch is not None
    values = sorted(frame.get_column("pay"))
    for rank in (0.1, 0.5, 0.9):
        found = sketch.quantiles([rank])[0]
        true_rank = sum(value <= found for value in values) / len(values)
        assert abs(true_rank - rank) < 0.03


def test_distinct_values_are_counted_within_the_stated_error() -> None:
    column = profile(pl.DataFrame({"a": range(50_000)}), batch=9999).columns[0]
    assert abs(column.distinct_count - 50_000) < 50_000 * 0.016 * 4


def test_a_frequent_value_of_a_wide_column_is_found_and_counted_about_right() -> None:
    chance = random.Random(5)
    values = ["often" if chance.random() < 0.1 else str(chance.randrange(10**9)) for _ in range(2 * BLOCK)]
    column = profile(pl.DataFrame({"a": values}), batch=BLOCK).columns[0]
    (value, count), *_ = column.top()
    assert ("often", True) == (value, column.is_sampled)
    assert abs(count - values.count("often")) < 0.15 * values.count("often")


def test_a_column_with_few_values_is_counted_in_full() -> None:
    column = profile(pl.DataFrame({"a": [f"v{n % 500}" for n in range(BLOCK + 1000)]}), batch=BLOCK).columns[0]
    assert (False, True, 500) == (column.is_sampled, column.has_all_values, len(column.top(WIDE)))


def test_columns_of_different_kinds_merge_to_their_counts_in_any_order() -> None:
    number, text = profile(pl.DataFrame({"a": [1, 5, None]})), profile(pl.DataFrame({"a": ["x", "y", "x"]}))
    for parts in itertools.permutations([number, text, number]):
        merged = reduce(Profile.merge, parts)
        (told,) = Profile.from_bytes(merged.to_bytes()).as_json()["columns"]
        assert ("mixed", 9, 2, 4) == tuple(told[name] for name in ("kind", "rows", "nulls", "distinct"))
        assert [None, None, None, {}, [], []] == [
            told[name] for name in ("min", "max", "mean", "quantiles", "top", "patterns")
        ]


def test_a_column_that_only_one_file_has_is_kept() -> None:
    merged = profile(pl.DataFrame({"a": [1]})).merge(profile(pl.DataFrame({"b": [1, 2]})))
    assert [("a", 1), ("b", 2)] == [(column.name, column.rows) for column in merged.columns]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.one_of(st.none(), st.integers(-(2**62), 2**62)), max_size=9), min_size=1, max_size=5))
def test_counts_ranges_and_means_merge_exactly(parts: list[list[int | None]]) -> None:
    frames = [pl.DataFrame({"a": pl.Series(part, dtype=pl.Int64)}) for part in parts]
    merged = reduce(Profile.merge, map(profile, frames)).columns[0]
    values = [value for part in parts for value in part if value is not None]
    assert (sum(map(len, parts)), len(values)) == (merged.rows, merged.rows - merged.nulls)
    assert (min(values, default=None), max(values, default=None)) == (merged.low, merged.high)
    assert not values or math.isclose(sum(values) / len(values), merged.moments.mean, rel_tol=1e-6, abs_tol=1e4)


def test_the_page_on_quality_tells_the_numbers_of_the_code() -> None:
    page = (Path(__file__).parents[2] / "docs/quality.md").read_text()
    told = (
        f"HyperLogLog, {2**sketches.DISTINCT_LG_K:,} registers",
        f"KLL, k = {sketches.QUANTILES_K}",
        f"{2**sketches.FREQUENT_LG_SIZE:,} slots",
        f"more than {WIDE:,} distinct values",
        f"every {accumulator.STRIDE}th",
        f"every {accumulator.SHAPE_STRIDE}th",
        f"Fewer than {FEWEST} values a bin",
        f"up to {CATEGORIES}",
    )
    assert [] == [words for words in told if words not in page]


@pytest.mark.parametrize(
    "values",
    [
        [date(9999, 12, 30), date(2001, 1, 1)],
        [date(9999, 1, 1), date(1, 1, 1), date(2001, 1, 1)],
        [datetime(9999, 12, 31, 23, 59, 59, 999_999), datetime(2001, 1, 1)],  # noqa: DTZ001 - a column without a zone
        [2**63 - 1, 2**63 - 1],
        [2**63 - 1, 2**63 - 2000],
        [-(2**63), 2**63 - 1],
        [1.7e308, -1.7e308],
        [5e-324, 1e-323],
        [1e22],
    ],
)
def test_values_at_the_ends_of_their_type_have_a_profile(values: list[object]) -> None:
    told = profile(pl.DataFrame({"x": values * 7})).as_json()["columns"][0]
    assert len(told["histogram"]["edges"]) == len(told["histogram"]["shares"]) + 1
    assert math.isclose(1, sum(told["histogram"]["shares"]))
