"""Apache DataSketches behind one shape: feed, merge, bytes. What each one's error is, stands with its constant.

The HLL and the frequent-items sketch are functions of what they were fed, in order. KLL draws random bits when it
compacts and the library can not be seeded: from some hundreds of values on, its bytes differ between two runs over the
same input, within the stated error. So nothing that must be byte-identical may hold a profile.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, Self

import datasketches

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

DISTINCT_LG_K: Final = 12
"""HLL with 4,096 registers: 1.04 / sqrt(4096) = 1.6 % standard error (exact to some dozens), 4 KiB at most."""
QUANTILES_K: Final = 400
"""KLL: ranks within 0.68 %, shares within 0.84 %, each with 99 % confidence; some 10 KiB."""
FREQUENT_LG_SIZE: Final = 10
"""Frequent items: exact to 768 distinct values; then a count is off by at most 3.5 / 1024 of all counted."""


class Sketch:
    """What all sketches here can: merge, and be written and read in the library's own format."""

    def __init__(self, sketch: Any = None) -> None:  # noqa: ANN401 - the library has no types
        self._sketch = sketch or self._new()

    @staticmethod
    def _new() -> Any:  # noqa: ANN401 - the library has no types
        raise NotImplementedError

    @staticmethod
    def _read(data: bytes) -> Any:  # noqa: ANN401 - the library has no types
        raise NotImplementedError

    def merge(self, other: Self) -> Self:
        """Return the sketch of both streams; neither is changed."""
        merged = self.from_bytes(self.to_bytes())
        merged._sketch.merge(other._sketch)  # noqa: SLF001 - the same class
        return merged

    def to_bytes(self) -> bytes:
        """Return the sketch in the library's own format."""
        return bytes(self._sketch.serialize())

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote."""
        return cls(cls._read(data))


class Distinct(Sketch):
    """Counts distinct values by HyperLogLog. Feeding a value twice changes nothing."""

    @staticmethod
    def _new() -> Any:  # noqa: ANN401 - the library has no types
        return datasketches.hll_sketch(DISTINCT_LG_K, datasketches.HLL_8)

    @staticmethod
    def _read(data: bytes) -> Any:  # noqa: ANN401 - the library has no types
        return datasketches.hll_sketch.deserialize(data)

    def update(self, values: Sequence[int] | Sequence[float] | Sequence[str]) -> None:
        """Feed values; the library leaves empty texts out."""
        deque(map(self._sketch.update, values), maxlen=0)

    def estimate(self) -> float:
        """Return about how many distinct values there were."""
        return float(self._sketch.get_estimate())

    def merge(self, other: Self) -> Self:
        """Return the sketch of both streams, as one of the same size."""
        union = datasketches.hll_union(DISTINCT_LG_K)
        union.update(self._sketch)
        union.update(other._sketch)
        return type(self)(union.get_result(datasketches.HLL_8))

    def to_bytes(self) -> bytes:
        """Return the sketch in the library's own format."""
        return bytes(self._sketch.serialize_compact())


class Quantiles(Sketch):
    """Ranks and quantiles of finite numbers by KLL."""

    @staticmethod
    def _new() -> Any:  # noqa: ANN401 - the library has no types
        return datasketches.kll_doubles_sketch(QUANTILES_K)

    @staticmethod
    def _read(data: bytes) -> Any:  # noqa: ANN401 - the library has no types
        return datasketches.kll_doubles_sketch.deserialize(data)

    def update(self, values: NDArray[np.float64]) -> None:
        """Feed a writable array without NaN."""
        self._sketch.update(values)

    @property
    def count(self) -> int:
        """Return how many values were fed."""
        return int(self._sketch.n)

    def quantiles(self, ranks: Sequence[float]) -> list[float]:
        """Return the values at ``ranks``, exact at 0 and 1; empty where nothing was fed."""
        if self._sketch.is_empty():
            return []
        ends = {0.0: self._sketch.get_min_value(), 1.0: self._sketch.get_max_value()}
        return [float(ends.get(rank, self._sketch.get_quantile(rank))) for rank in ranks]

    def shares(self, edges: Sequence[float]) -> list[float]:
        """Return the share of values below the first edge, between two each, and from the last on."""
        return [float(one) for one in self._sketch.get_pmf(edges)]


class Frequent(Sketch):
    """The most frequent texts, with their counts."""

    @staticmethod
    def _new() -> Any:  # noqa: ANN401 - the library has no types
        return datasketches.frequent_strings_sketch(FREQUENT_LG_SIZE)

    @staticmethod
    def _read(data: bytes) -> Any:  # noqa: ANN401 - the library has no types
        return datasketches.frequent_strings_sketch.deserialize(data)

    def update(self, counted: Iterable[tuple[str, int]]) -> None:
        """Feed texts with how often each came."""
        for text, count in counted:
            self._sketch.update(text, count)

    @property
    def is_exact(self) -> bool:
        """Say whether no text was let go: then all are known, with their true counts."""
        return bool(self._sketch.is_empty() or self._offset() == 0)

    def top(self, limit: int) -> list[tuple[str, int]]:
        """Return the texts that certainly count more than the sketch's error, the most frequent first."""
        items = self._sketch.get_frequent_items(datasketches.NO_FALSE_POSITIVES)
        found = [(str(text), int(estimate)) for text, estimate, *_ in items]
        return sorted(found, key=lambda one: (-one[1], one[0]))[:limit]

    def _offset(self) -> int:
        """Return by how much a count may be off: an unknown text's upper bound, its lower one being nought."""
        return int(self._sketch.get_upper_bound("\x00 no text of a file"))
