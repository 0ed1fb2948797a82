from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import polars as pl
import pytest

from pipeline_processing.contracts.model import Dedupe
from pipeline_processing.processors.refining.dedupe import KeyIndex, hash_of
from pipeline_processing.processors.refining.staging import Staging

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def stay(
    folder: Path,
    frames: list[pl.DataFrame],
    rule: Dedupe,
    *,
    candidates: int = 1_000,
    hashing: Callable[[pl.DataFrame], pl.Series] = hash_of,
) -> list[int]:
    """The positions of the rows that stay."""
    staging = Staging(folder / "rows")
    with closing(KeyIndex(folder / "keys", rule, candidates=candidates, hashing=hashing)) as index:
        for frame in frames:
            staging.add(frame)
            index.add(frame)
        losers = index.losers(staging)
    rows = range(staging.rows)
    return list(rows) if losers is None else [row for row in rows if not losers[row]]


def same_hash(keys: pl.DataFrame) -> pl.Series:
    return pl.Series([7] * keys.height, dtype=pl.UInt64)


def test_the_first_row_of_a_key_stays(tmp_path: Path) -> None:
    frames = [pl.DataFrame({"k": ["a", "b"]}), pl.DataFrame({"k": ["b", "c", "a"]})]
    assert [0, 1, 3] == stay(tmp_path, frames, Dedupe(("k",)))


def test_no_row_goes_where_no_key_stands_twice(tmp_path: Path) -> None:
    assert [0, 1] == stay(tmp_path, [pl.DataFrame({"k": ["a", "b"]})], Dedupe(("k",)))


def test_nulls_of_a_key_are_equal_and_are_no_empty_text(tmp_path: Path) -> None:
    frame = pl.DataFrame({"k": ["", None, None, ""], "l": [None, 1, 1, None]})
    assert [0, 1] == stay(tmp_path, [frame], Dedupe(("k", "l")))


def test_zero_and_minus_zero_are_one_key_and_so_is_nan(tmp_path: Path) -> None:
    frame = pl.DataFrame({"k": [0.0, -0.0, float("nan"), -float("nan"), 1.0]})
    assert [0, 2, 4] == stay(tmp_path, [frame], Dedupe(("k",)))


@pytest.mark.parametrize(("descending", "expected"), [(True, 2), (False, 1)], ids=["greatest", "least"])
def test_the_order_decides_before_the_place_and_nulls_come_last(
    tmp_path: Path, *, descending: bool, expected: int
) -> None:
    frame = pl.DataFrame({"k": ["a"] * 4, "v": [None, 1, 3, 3]})
    assert [expected] == stay(tmp_path, [frame], Dedupe(("k",), (("v", descending),)))


def test_keys_that_only_share_a_hash_lose_no_row(tmp_path: Path) -> None:
    frames = [pl.DataFrame({"k": [1, 2, 3]}), pl.DataFrame({"k": [3, 4]})]
    assert [0, 1, 2, 4] == stay(tmp_path, frames, Dedupe(("k",)), hashing=same_hash)


@pytest.mark.parametrize("hashing", [hash_of, same_hash], ids=["spread", "colliding"])
def test_a_spill_of_the_candidates_changes_nothing(
    tmp_path: Path, hashing: Callable[[pl.DataFrame], pl.Series]
) -> None:
    frames = [pl.DataFrame({"k": [f"{(row * 7 + part) % 97}" for row in range(60)]}) for part in range(6)]
    frames = [frame.with_columns(v=pl.int_range(pl.len()) * 31 % 17) for frame in frames]
    rule = Dedupe(("k",), (("v", True),))
    whole = pl.concat(frames).with_row_index("at")
    expected = (
        whole.sort("v", "at", descending=[True, False]).unique("k", keep="first", maintain_order=True)["at"].sort()
    )
    assert expected.to_list() == stay(tmp_path, frames, rule, candidates=50, hashing=hashing)
