"""One column's profile while its file streams by.

What comes out does not depend on where batches end, but for the last bits of a mean and KLL's chance: values are taken
in blocks that end at fixed positions, and a block's distinct values in the order of their first appearance.

A column with few distinct values is counted in full. Once one has more than `WIDE` of them its most frequent values
come from every `STRIDE`-th value, each counted `STRIDE` times: a true count c is then met within about sqrt(STRIDE * c)
either way, on top of the sketch's own error; its shapes likewise from every `SHAPE_STRIDE`-th. All other figures come
from every value always.
"""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from pipeline_processing.quality.profile_column import Column, Moments, kind_of, spelled
from pipeline_processing.quality.sketches import Distinct, Frequent, Quantiles

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from pipeline_processing.model import Json

BLOCK: Final = 65_536
"""Values after which a column is looked at anew, whether it is wide."""
WIDE: Final = 4_096
STRIDE: Final = 16
SHAPE_STRIDE: Final = 64
_SLOTS: Final = 2**17
_WORTH: Final = 0.6
"""Share of new values from which on it takes longer to look for the others than to feed them."""
_TEXT_SHOWN: Final = 120
"""Characters kept of a text in the profile; longer ones are told apart by these alone."""
_SHAPE_SHOWN: Final = 40


class Accumulator:
    """Takes a column's series one after the other."""

    def __init__(self, name: str, dtype: pl.DataType, *, is_classified: bool) -> None:
        self._name, self._dtype, self._kind = name, dtype, kind_of(dtype)
        self._is_classified = is_classified
        self._rows = self._nulls = self._not_finite = self._seen = 0
        self._is_wide = False
        self._low: Json = None
        self._high: Json = None
        self._moments, self._lengths = Moments(), Moments()
        self._distinct = Distinct()
        self._quantiles = Quantiles() if self._has_order else None
        self._frequent = None if is_classified else Frequent()
        self._shapes = Frequent() if self._kind == "string" and not is_classified else None
        self._seen_values = _Seen()

    @property
    def _has_order(self) -> bool:
        return self._kind not in {"string", "boolean"} and not self._is_classified

    def update(self, values: pl.Series) -> None:
        """Take the values of the next rows."""
        self._rows += len(values)
        nulls = values.null_count()
        self._nulls += nulls
        values = values.drop_nulls() if nulls else values
        if self._kind == "number" and values.dtype.is_float():
            finite = values.is_finite()
            self._not_finite += len(values) - int(finite.sum())
            values = values if finite.all() else values.filter(finite)
        for block in self._blocks(values):
            self._take(block)

    def result(self) -> Column:
        """Return the profile so far; the accumulator may go on."""
        return Column(
            name=self._name,
            kind=self._kind,
            is_classified=self._is_classified,
            rows=self._rows,
            nulls=self._nulls,
            not_finite=self._not_finite,
            low=spelled(self._low),
            high=spelled(self._high),
            moments=self._moments,
            lengths=self._lengths,
            distinct=self._distinct.to_bytes(),
            quantiles=self._quantiles.to_bytes() if self._quantiles else None,
            frequent=self._frequent.to_bytes() if self._frequent else None,
            shapes=self._shapes.to_bytes() if self._shapes else None,
            is_sampled=self._is_wide,
        )

    def _blocks(self, values: pl.Series) -> Iterator[pl.Series]:
        """Yield the values in pieces, none of which goes over the end of a block."""
        start = 0
        while start < len(values):
            room = BLOCK - self._seen % BLOCK
            piece = values.slice(start, room)
            yield piece
            start += len(piece)
            if self._seen % BLOCK == 0 and not self._is_wide:
                self._is_wide = self._distinct.estimate() > WIDE

    def _take(self, values: pl.Series) -> None:
        if self._kind == "string":
            self._lengths = self._lengths.merge(Moments.of(values.str.len_chars()))
        self._count(values)
        if not self._is_classified:
            self._bound(values)
        if self._quantiles is not None:
            numbers = numeric(values, self._kind)
            self._quantiles.update(numbers.to_numpy(writable=True))
            if self._kind in {"integer", "number"}:
                self._moments = self._moments.merge(Moments.of(numbers))
        self._seen += len(values)

    def _bound(self, values: pl.Series) -> None:
        low: Json = values.min()
        high: Json = values.max()
        if isinstance(low, str) and isinstance(high, str):
            low, high = low[:_TEXT_SHOWN], high[:_TEXT_SHOWN]
        self._low = low if self._low is None else min(self._low, low)
        self._high = high if self._high is None else max(self._high, high)

    def _count(self, values: pl.Series) -> None:
        if not self._is_wide:
            counted = values.rename("value").to_frame().group_by("value", maintain_order=True).len("count")
            different, counts = counted.get_column("value"), counted.get_column("count").to_list()
            self._distinct.update(_hashable(different))
            self._remember(different, counts)
            self._shape(different, counts)
            return
        self._distinct.update(_hashable(self._seen_values.fresh(values)))
        self._remember(self._sample(values, STRIDE), repeat(STRIDE))
        self._shape(self._sample(values, SHAPE_STRIDE), repeat(SHAPE_STRIDE))

    def _sample(self, values: pl.Series, stride: int) -> pl.Series:
        return values.gather_every(stride, -self._seen % stride)

    def _remember(self, values: pl.Series, counts: Iterable[int]) -> None:
        if self._frequent is not None:
            self._frequent.update(zip(_texts(values), counts, strict=False))

    def _shape(self, values: pl.Series, counts: Iterable[int]) -> None:
        if self._shapes is not None:
            self._shapes.update(zip(_shapes(values), counts, strict=False))


class _Seen:
    """Leaves out most values that came before, so that the HLL, to which they are nothing new, is not fed one by one.

    A value is known by a 64-bit hash of this process in a table that forgets; which ones are left out changes nothing
    but the time taken. Where too few are, it gives up.
    """

    def __init__(self) -> None:
        self._table: NDArray[np.uint64] | None = None
        self._pays = True

    def fresh(self, values: pl.Series) -> pl.Series:
        """Return the values without most of those that came before."""
        if not self._pays:
            return values
        hashes = values.hash().to_numpy()
        slots = hashes & np.uint64(_SLOTS - 1)
        if self._table is None:
            self._table = np.zeros(_SLOTS, dtype=np.uint64)
            self._table[slots] = hashes
            return values
        is_new = self._table[slots] != hashes
        self._table[slots] = hashes
        self._pays = int(np.count_nonzero(is_new)) <= _WORTH * len(values)
        if not self._pays:
            self._table = None
        return values.filter(pl.Series(is_new))


def numeric(values: pl.Series, kind: str) -> pl.Series:
    """Return values as floats: numbers as they are, dates in days and moments in seconds since 1970."""
    match kind:
        case "date":
            return values.to_physical().cast(pl.Float64)
        case "timestamp":
            return values.dt.epoch("us").cast(pl.Float64) / 1e6
        case "time":
            return values.to_physical().cast(pl.Float64) / 1e9
        case _:
            return values.cast(pl.Float64)


def _hashable(values: pl.Series) -> list[int] | list[float] | list[str]:
    """Return values as the HLL takes them, so that equal values of equal types hash alike in every file."""
    if values.dtype in {pl.Date, pl.Time}:
        values = values.to_physical()
    elif values.dtype == pl.Datetime:
        values = values.dt.epoch("us")
    elif values.dtype == pl.Boolean:
        values = values.cast(pl.UInt8)
    elif values.dtype.is_decimal():
        values = values.cast(pl.String)
    return values.to_list()


def _texts(values: pl.Series) -> list[str]:
    if values.dtype == pl.String:
        return values.str.slice(0, _TEXT_SHOWN).to_list()
    if values.dtype == pl.Boolean:
        return values.cast(pl.String).to_list()
    if values.dtype.is_temporal():
        return [str(spelled(value)) for value in values.to_list()]
    return values.cast(pl.String).to_list()


def _shapes(values: pl.Series) -> list[str]:
    """Return texts with each digit as 9 and each letter as A, cut at `_SHAPE_SHOWN` characters."""
    short = values.str.slice(0, _SHAPE_SHOWN)
    return short.str.replace_all(r"\d", "9").str.replace_all(r"\p{L}", "A").to_list()
