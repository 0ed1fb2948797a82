"""Which rows of a file stay where several have one key: found in a byte of memory a row, and one bucket.

Three steps. While the rows go by, only a 64-bit hash of each key is spilled, with the row's position, into buckets by
the hash. Then the hashes that stand more than once in their bucket name the candidates: the few rows whose keys may be
equal. Their real keys are read back from the staging files, again bucket by bucket, and compared: two keys that only
share a hash lose no row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import BinaryIO

    import numpy.typing as npt

    from pipeline_processing.contracts.model import Dedupe
    from pipeline_processing.processors.refining.staging import Staging

BUCKETS: Final = 64
"""Buckets of the first spill; one of them is sorted in memory at a time, at 16 bytes a row."""
CANDIDATES: Final = 500_000
"""Candidates that are held at once, key and order columns with them."""
_SPILLED: Final = np.dtype([("hash", "<u8"), ("position", "<u8")])
_POSITION: Final = "_position"
_HASH: Final = "_hash"
_BYTE: Final = 256


def hash_of(keys: pl.DataFrame) -> pl.Series:
    """Return a hash of each row; null, NaN and -0.0 hash as what they are equal to."""
    return keys.hash_rows(seed=0)


class KeyIndex:
    """Takes a file's rows in order, then tells which of them lose against another of the same key.

    ``hashing`` is there for tests: what it returns must be equal for equal keys. ``heed`` is called before each bucket;
    what it raises ends the search.
    """

    def __init__(
        self,
        folder: Path,
        rule: Dedupe,
        *,
        candidates: int = CANDIDATES,
        hashing: Callable[[pl.DataFrame], pl.Series] = hash_of,
        heed: Callable[[], None] = lambda: None,
    ) -> None:
        folder.mkdir(parents=True)
        self._heed = heed
        self._folder, self._rule, self._budget, self._hashing = folder, rule, candidates, hashing
        self._spills: list[BinaryIO] = [(folder / f"{number:02d}.hashes").open("w+b") for number in range(BUCKETS)]
        self._shared: list[npt.NDArray[np.bool_]] = []
        self._rows = 0

    def close(self) -> None:
        """Close the spill files; nothing can be asked afterwards."""
        for spill in self._spills:
            spill.close()

    def add(self, frame: pl.DataFrame) -> None:
        """Take in the next rows: those that `Staging.add` got, in the same order.

        A hash that stands here more than once is spilled once: a key that fills the file then fills no bucket.
        """
        hashes = self._hashing(frame.select(self._rule.key)).to_numpy()
        order = np.argsort(hashes)
        ordered = hashes[order]
        is_again = np.zeros(frame.height, dtype=np.bool_)
        is_again[1:] = ordered[1:] == ordered[:-1]
        is_shared = is_again.copy()
        is_shared[:-1] |= is_again[1:]
        shared = np.zeros(frame.height, dtype=np.bool_)
        shared[order[is_shared]] = True
        self._shared.append(shared)
        order, ordered = order[~is_again], ordered[~is_again]
        spilled = np.empty(len(order), dtype=_SPILLED)
        spilled["hash"], spilled["position"] = ordered, order + self._rows
        ends = np.searchsorted(_bucket_of(ordered, BUCKETS), np.arange(BUCKETS), side="right")
        start = 0
        for spill, end in zip(self._spills, ends.tolist(), strict=True):
            if end > start:
                spill.write(spilled[start:end].data)
            start = end
        self._rows += frame.height

    def losers(self, staging: Staging) -> npt.NDArray[np.bool_] | None:
        """Return for each position whether the row has to go; None where every row stays."""
        candidates = self._candidates()
        if candidates is None:
            return None
        losers = candidates.copy()
        for positions in self._winners(staging, candidates):
            losers[positions] = False
        return losers if losers.any() else None

    def _candidates(self) -> npt.NDArray[np.bool_] | None:
        """Return which rows share their hash with another; None where none does."""
        found = np.concatenate([*self._shared, np.zeros(0, dtype=np.bool_)])
        for spill in self._spills:
            self._heed()
            spill.seek(0)
            spilled = np.fromfile(spill, dtype=_SPILLED)
            spilled = spilled[np.argsort(spilled["hash"])]
            is_equal = spilled["hash"][1:] == spilled["hash"][:-1]
            found[spilled["position"][1:][is_equal]] = True
            found[spilled["position"][:-1][is_equal]] = True
        return found if found.any() else None

    def _winners(self, staging: Staging, candidates: npt.NDArray[np.bool_]) -> Iterator[npt.NDArray[np.uint64]]:
        """Yield the positions that stay, bucket by bucket."""
        parts = -(-int(candidates.sum()) // self._budget)
        held: list[pl.DataFrame] = []
        written: dict[int, list[Path]] = {}
        count = 0
        for frame in self._read(staging, candidates):
            held.append(frame)
            count += frame.height
            if count > self._budget:
                self._spill(pl.concat(held), parts, written)
                held, count = [], 0
        if not written:
            yield self._best(pl.concat(held))[_POSITION].to_numpy()
            return
        if held:
            self._spill(pl.concat(held), parts, written)
        for paths in written.values():
            self._heed()
            best = pl.read_ipc(paths[0])
            for path in paths[1:]:
                best = self._best(pl.concat([best, pl.read_ipc(path)]))
            yield best[_POSITION].to_numpy()

    def _read(self, staging: Staging, candidates: npt.NDArray[np.bool_]) -> Iterator[pl.DataFrame]:
        """Yield the candidates' keys and orders, position and hash with them."""
        columns = list(dict.fromkeys((*self._rule.key, *(name for name, _ in self._rule.order))))
        for start, frame in staging.frames(columns):
            chosen = np.flatnonzero(candidates[start : start + frame.height])
            if chosen.size:
                rows = frame[chosen]
                hashes = self._hashing(rows.select(self._rule.key)).alias(_HASH)
                yield rows.with_columns(pl.Series(_POSITION, chosen + start, dtype=pl.UInt64), hashes)

    def _spill(self, rows: pl.DataFrame, parts: int, written: dict[int, list[Path]]) -> None:
        """Write the best rows of ``rows``, each to the bucket of its key."""
        best = self._best(rows)
        buckets = _bucket_of(best[_HASH].to_numpy(), parts)
        for bucket in range(parts):
            chosen = best.filter(pl.Series(buckets == bucket))
            if chosen.height:
                paths = written.setdefault(bucket, [])
                path = self._folder / f"{bucket:06d}-{len(paths):06d}.candidates"
                chosen.write_ipc(path, compression="lz4")
                paths.append(path)

    def _best(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return one row a key: the first by the contract's order, nulls last, then by position."""
        names = [name for name, _ in self._rule.order]
        descending = [is_descending for _, is_descending in self._rule.order]
        ordered = rows.sort([*names, _POSITION], descending=[*descending, False], nulls_last=True)
        return ordered.unique(list(self._rule.key), keep="first", maintain_order=True)


def _bucket_of(hashes: npt.NDArray[np.uint64], buckets: int) -> npt.NDArray[np.unsignedinteger | np.signedinteger]:
    """Return numbers below ``buckets``, by the hashes' high halves."""
    numbers = (hashes >> np.uint64(32)) * np.uint64(buckets) >> np.uint64(32)
    return numbers.astype(np.uint8 if buckets <= _BYTE else np.int64)  # bytes sort by counting, in one go
