"""Row checks that need the whole file: keys that stand more than once, intervals that overlap.

Memory is that of one bucket at a time, not of the file: keys go to buckets by their hash, and only rows whose hash
stands twice are compared by their real values. A bucket of keys holds 8 bytes a row, then the rows that may repeat; one
of intervals holds its rows. What a bucket can not split is one key: all rows of the same key are held together, so a
file of one key alone holds its key column.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

KEYS_PER_BUCKET: Final = 4_000_000
INTERVALS_PER_BUCKET: Final = 1_000_000
_ROW: Final = "_row"
_HASH: Final = "?hash"
_GROUP: Final = "?group"
_START: Final = "?start"
_END: Final = "?end"
_NEVER: Final = float("inf")
_SIEVE: Final = np.uint64(2**24 - 1)
"""Low bits of a hash by which most of those that do not repeat are told at once: 16 MiB of flags."""


def duplicates(staged: pl.LazyFrame, key: Sequence[str], *, rows: int, bucket: int = KEYS_PER_BUCKET) -> pl.Series:
    """Return the `_row` of every row of ``staged`` whose ``key`` another row has too. A null in a key is no key."""
    keyed = staged.select(_ROW, *key).drop_nulls(list(key)).with_columns(_hash(key))
    buckets = -(-rows // bucket) or 1
    found = [_none()]
    for number in range(buckets):
        part = keyed.filter(pl.col(_HASH) % buckets == number)
        repeating = _repeating(part.select(_HASH))
        if len(repeating):
            candidates = pl.concat(_having(part, repeating))
            found.append(candidates.filter(pl.struct(key).is_duplicated()).get_column(_ROW))
    return pl.concat(found).sort()


def incomplete(staged: pl.LazyFrame, key: Sequence[str]) -> pl.Series:
    """Return the `_row` of every row that has a null in its ``key``."""
    nulls = staged.select(_ROW, *key).filter(pl.any_horizontal(pl.col(*key).is_null())).select(_ROW)
    return nulls.collect(engine="streaming").get_column(_ROW).sort()


def overlaps(
    staged: pl.LazyFrame,
    by: Sequence[str],
    start: str,
    end: str,
    *,
    rows: int,
    is_closed: bool = False,
    bucket: int = INTERVALS_PER_BUCKET,
) -> pl.Series:
    """Return the `_row` of every row whose interval shares time with another one of the same ``by``.

    An interval is half open, [start, end), so that one may begin on the day the other ends; closed where
    ``is_closed``. Without an end it has not ended. Rows without a start or a ``by``, and those that end before they
    start, are left out: other checks find them.
    """
    schema = staged.collect_schema()
    intervals = (
        staged.drop_nulls([*by, start])
        .select(
            _ROW,
            *by,
            _point(start, schema[start]).alias(_START),
            _point(end, schema[end]).fill_null(_NEVER).alias(_END),
        )
        .filter(pl.col(_END) >= pl.col(_START))
    )
    buckets = -(-rows // bucket) or 1
    found = [_none()]
    for number in range(buckets):
        part = intervals.filter(_hash(by) % buckets == number).collect(engine="streaming")
        groups = part.select(by).unique().with_row_index(_GROUP)
        grouped = part.join(groups, on=list(by)).select(_GROUP, _START, _END, _ROW)
        found.append(_overlapping(grouped.sort(_GROUP, _START, _END), is_closed=is_closed))
    return pl.concat(found).sort()


def _overlapping(ordered: pl.DataFrame, *, is_closed: bool) -> pl.Series:
    """Return the rows of those that overlap.

    Sorted by start, an interval meets an earlier one of its group if and only if it starts before the latest end so
    far, and a later one if and only if the next starts before its own end. The latest end so far of each group is a
    running maximum over (group, rank of the end).
    """
    group, start, end = (ordered.get_column(name).to_numpy() for name in (_GROUP, _START, _END))
    ends, rank = np.unique(end, return_inverse=True)
    latest = np.maximum.accumulate(group.astype(np.int64) * len(ends) + rank) - group.astype(np.int64) * len(ends)
    is_same = group[1:] == group[:-1]
    before, after = ends[latest[:-1]], end[:-1]
    fails = np.zeros(len(ordered), dtype=np.bool_)
    fails[1:] |= is_same & ((start[1:] <= before) if is_closed else (start[1:] < before))
    fails[:-1] |= is_same & ((start[1:] <= after) if is_closed else (start[1:] < after))
    return ordered.get_column(_ROW).filter(pl.Series(fails))


def _repeating(hashes: pl.LazyFrame) -> NDArray[np.uint64]:
    """Return the hashes that stand more than once, sorted."""
    ordered = np.concatenate([np.empty(0, np.uint64), *(one.to_series().to_numpy() for one in _batches(hashes))])
    ordered.sort()
    return np.unique(ordered[1:][ordered[1:] == ordered[:-1]])


def _having(keyed: pl.LazyFrame, hashes: NDArray[np.uint64]) -> Iterator[pl.DataFrame]:
    """Yield the rows whose hash is one of the sorted ``hashes``.

    A join would hold all rows, and `is_in` build its set anew for each batch.
    """
    sieve = np.zeros(int(_SIEVE) + 1, dtype=np.bool_)
    sieve[hashes & _SIEVE] = True
    for batch in _batches(keyed):
        passed = batch.filter(pl.Series(sieve[batch.get_column(_HASH).to_numpy() & _SIEVE]))
        values = passed.get_column(_HASH).to_numpy()
        at = np.minimum(np.searchsorted(hashes, values), len(hashes) - 1)
        found = passed.filter(pl.Series(hashes[at] == values)).drop(_HASH)
        # A filtered text column keeps the buffers of the whole batch alive; adding nothing copies what is left.
        yield found.with_columns(pl.col(pl.String) + pl.lit(""))


def _batches(frame: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    """Yield the result piece by piece, in no order. The method is one that Polars may still change: used here only."""
    batches: Any = frame.collect_batches(engine="streaming", maintain_order=False)
    yield from batches


def _hash(key: Sequence[str]) -> pl.Expr:
    """Return one hash of the key. It tells keys apart within this process only, and needs not do so perfectly."""
    return (pl.col(key[0]) if len(key) == 1 else pl.struct(key)).hash().alias(_HASH)


def _point(name: str, dtype: pl.DataType) -> pl.Expr:
    """Return a moment or a number as a float, in which a null end can be for ever; microseconds stay exact to 2255."""
    if dtype.is_temporal() and dtype != pl.Time:
        return pl.col(name).dt.epoch("us").cast(pl.Float64)
    return pl.col(name).cast(pl.Int64 if dtype == pl.Time else pl.Float64).cast(pl.Float64)


def _none() -> pl.Series:
    return pl.Series(_ROW, [], pl.UInt64)
