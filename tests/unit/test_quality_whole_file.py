from __future__ import annotations

from collections import Counter

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_processing.quality.whole_file import duplicates, incomplete, overlaps

KEYS = st.lists(st.tuples(st.one_of(st.none(), st.integers(0, 4)), st.sampled_from(["x", "y"])), max_size=25)
DAYS = st.integers(0, 8)
INTERVALS = st.lists(
    st.tuples(st.sampled_from(["x", "y", None]), st.one_of(st.none(), DAYS), st.one_of(st.none(), DAYS))
)


def staged(rows: list[tuple[object, ...]], schema: dict[str, type[pl.DataType]]) -> pl.LazyFrame:
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    return frame.with_columns(pl.Series("_row", range(1, len(frame) + 1), pl.UInt64)).lazy()


def test_rows_of_a_repeated_key_are_found_in_every_bucket() -> None:
    rows = pl.DataFrame({"a": [*range(1000), *range(0, 1000, 100)]})
    found = duplicates(rows.with_row_index("_row").cast({"_row": pl.UInt64}).lazy(), ["a"], rows=1010, bucket=10)
    assert [*range(0, 1000, 100), *range(1000, 1010)] == found.to_list()


@settings(deadline=None)
@given(KEYS, st.integers(1, 5))
def test_duplicates_are_the_rows_whose_key_stands_twice(rows: list[tuple[int | None, str]], bucket: int) -> None:
    counted = Counter(row for row in rows if row[0] is not None)
    expected = [number for number, row in enumerate(rows, 1) if counted[row] > 1]
    found = duplicates(staged(rows, {"a": pl.Int64, "b": pl.String}), ["a", "b"], rows=len(rows), bucket=bucket)
    assert expected == found.to_list()


def test_a_row_without_a_whole_key_is_incomplete() -> None:
    rows = staged([(1, "x"), (None, "x"), (1, None)], {"a": pl.Int64, "b": pl.String})
    assert [2, 3] == incomplete(rows, ["a", "b"]).to_list()


@pytest.mark.parametrize("is_closed", [False, True])
@settings(deadline=None)
@given(rows=INTERVALS, bucket=st.integers(1, 5))
def test_overlaps_are_the_rows_that_share_time_with_another_of_their_own(
    rows: list[tuple[str | None, int | None, int | None]], bucket: int, *, is_closed: bool
) -> None:
    whole = [
        (number, by, start, float("inf") if end is None else end)
        for number, (by, start, end) in enumerate(rows, 1)
        if by is not None and start is not None and (end is None or end >= start)
    ]

    def shares(one: tuple[int, str, int, float], two: tuple[int, str, int, float]) -> bool:
        if one[0] == two[0] or one[1] != two[1]:
            return False
        if is_closed:
            return one[2] <= two[3] and two[2] <= one[3]
        return one[2] < two[3] and two[2] < one[3]

    expected = [one[0] for one in whole if any(shares(one, two) for two in whole)]
    frame = staged(rows, {"by": pl.String, "start": pl.Int64, "end": pl.Int64})
    found = overlaps(frame, ["by"], "start", "end", rows=len(rows), is_closed=is_closed, bucket=bucket)
    assert expected == found.to_list()


def test_dates_overlap_as_days() -> None:
    frame = staged([("x", 0, 10), ("x", 9, 12), ("x", 12, None)], {"by": pl.String, "start": pl.Int32, "end": pl.Int32})
    dates = frame.with_columns(pl.col("start", "end").cast(pl.Date))
    assert [1, 2] == overlaps(dates, ["by"], "start", "end", rows=3).to_list()
