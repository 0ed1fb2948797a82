"""Row checks that need the whole file: keys that stand more than once, intervals that overlap.

Memory is that of one bucket at a time, not of the file: keys go to buckets by their hash, `KEYS_PER_BUCKET` of 8 bytes
each; only rows whose hash stands twice are then compared by their real values. What a bucket can not split is one key:
all rows of the same key are held together, so a file of one key alone holds its key column.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

KEYS_PER_BUCKET: Final = 4_000_000
INTERVALS_PER_BUCKET: Final = 1_000_000
_ROW: Final = "_row"
_HASH: Final = "?hash"
_BY: Final = "?by"
_START: Final = "?start"
_END: Final = "?end"
_NEVER: Final = float("inf")


def duplicates(staged: pl.LazyFrame, key: Sequence[str], *, rows: int, bucket: int = KEYS_PER_BUCKET) -> pl.Series:
    """Return the `_row` of every row of ``staged`` whose ``key`` another row has too. A null in a key is no key."""
    keyed = staged.select(_ROW, *key).drop_nulls(list(key)).with_columns(_hash(key))
    found = [_none()]
    for repeating in _repeating_hashes(keyed.select(_HASH), -(-rows // bucket) or 1):
        candidates = keyed.join(repeating.lazy(), on=_HASH, how="semi").collect(engine="streaming")
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
        staged.select(
            _ROW,
            pl.struct(by).alias(_BY),
            _point(start, schema[start]).alias(_START),
            _point(end, schema[end]).fill_null(_NEVER).alias(_END),
            pl.any_horizontal(pl.col(*by).is_null()).alias(_HASH),
        )
        .filter(~pl.col(_HASH), pl.col(_START).is_not_null(), pl.col(_END) >= pl.col(_START))
        .with_columns(pl.col(_BY).hash().alias(_HASH))
    )
    buckets = -(-rows // bucket) or 1
    found = [_none()]
    for number in range(buckets):
        part = intervals.filter(pl.col(_HASH) % buckets == number).collect(engine="streaming")
        found.append(_overlapping(part, is_closed=is_closed))
    return pl.concat(found).sort()


def _overlapping(part: pl.DataFrame, *, is_closed: bool) -> pl.Series:
    """Return those that overlap: sorted by start, an interval meets an earlier one iff it starts before the latest end
    so far, and a later one iff the next starts before its own end.
    """  # noqa: D205 - one sentence
    latest = pl.col(_END).cum_max().shift(1).over(_BY)
    following = pl.col(_START).shift(-1).over(_BY)
    earlier = pl.col(_START) <= latest if is_closed else pl.col(_START) < latest
    later = following <= pl.col(_END) if is_closed else following < pl.col(_END)
    ordered = part.sort(_BY, _START, _END, _ROW).with_columns(pl.col(_BY).rle_id())
    return ordered.filter(earlier.fill_null(value=False) | later.fill_null(value=False)).get_column(_ROW)


def _repeating_hashes(hashes: pl.LazyFrame, buckets: int) -> Iterator[pl.DataFrame]:
    """Yield, bucket by bucket, the hashes that stand more than once; nothing for a bucket without any."""
    for number in range(buckets):
        part = hashes.filter(pl.col(_HASH) % buckets == number).collect(engine="streaming")
        ordered = np.sort(part.get_column(_HASH).to_numpy())
        repeating = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
        if len(repeating):
            yield pl.DataFrame({_HASH: repeating}, schema={_HASH: pl.UInt64})


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
