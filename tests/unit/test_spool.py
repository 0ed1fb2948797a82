from __future__ import annotations

import random
import tracemalloc
from typing import TYPE_CHECKING

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_core.spool import SortedSpool

if TYPE_CHECKING:
    from pathlib import Path

ENTRIES = st.lists(st.tuples(st.binary(max_size=4), st.binary(max_size=40)), max_size=200)


@given(ENTRIES, st.integers(min_value=1, max_value=5000))
def test_entries_come_back_sorted_whatever_fits_in_memory(entries: list[tuple[bytes, bytes]], memory: int) -> None:
    with SortedSpool(memory=memory) as spool:
        for key, value in entries:
            spool.add(key, value)
        assert sorted(entries) == list(spool)


@given(ENTRIES, st.integers(min_value=1, max_value=5000))
def test_a_unique_spool_collapses_equal_entries_only(entries: list[tuple[bytes, bytes]], memory: int) -> None:
    with SortedSpool(memory=memory, unique=True) as spool:
        for key, value in entries + entries:
            spool.add(key, value)
        assert sorted(set(entries)) == list(spool)


def test_more_files_than_are_merged_at_once_are_merged_in_steps(tmp_path: Path) -> None:
    order = random.Random(1)
    keys = [order.randbytes(8) for _ in range(1000)]
    with SortedSpool(memory=1, folder=tmp_path) as spool:
        for key in keys:
            spool.add(key, b"v")
        (folder,) = tmp_path.iterdir()
        files = len(list(folder.iterdir()))
        assert [(key, b"v") for key in sorted(keys)] == list(spool)
    assert 0 < files < 64


def test_it_can_be_read_twice_and_added_to_in_between() -> None:
    with SortedSpool(memory=400) as spool:
        spool.add(b"b", b"")
        first = list(spool)
        spool.add(b"a", b"")
        second = list(spool)
    assert [(b"b", b"")] == first
    assert [(b"a", b""), (b"b", b"")] == second


def fill_and_fail(folder: Path) -> None:
    with SortedSpool(memory=1, folder=folder) as spool:
        spool.add(b"k", b"v")
        assert 1 == len(list(folder.iterdir()))
        spool.add(b"k", "text")  # type: ignore[arg-type] # the error under test


def test_its_folder_is_gone_afterwards_even_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        fill_and_fail(tmp_path)
    assert [] == list(tmp_path.iterdir())


def test_what_orjson_made_takes_no_more_memory_than_is_counted() -> None:
    """An object of orjson's keeps 4 KiB as long as it lives, however short it is."""
    entries = 4000
    tracemalloc.start()
    try:
        with SortedSpool(memory=2**30) as spool:
            before, _ = tracemalloc.get_traced_memory()
            for number in range(entries):
                spool.add(b"key %d" % number, orjson.dumps({"number": number, "text": "x" * 250}))
            taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert 600 > taken / entries
