from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_processing.packing import Packer, parse_size

ENTRIES = st.lists(st.tuples(st.integers(0, 120), st.integers(1, 12)))


def packed(entries: list[tuple[int, int]], *, max_items: int = 10, max_bytes: int = 100) -> list[list[tuple[int, int]]]:
    packer = Packer[tuple[int, int]](max_items=max_items, max_bytes=max_bytes)
    packs = [pack for entry in entries for pack in packer.add(entry, size=entry[0], inputs=entry[1])]
    rest = packer.rest()
    return [*packs, rest] if rest else packs


@given(ENTRIES)
def test_every_entry_is_in_exactly_one_pack(entries: list[tuple[int, int]]) -> None:
    assert sorted(entries) == sorted(entry for pack in packed(entries) for entry in pack)


@given(ENTRIES)
def test_a_pack_of_several_keeps_both_limits(entries: list[tuple[int, int]]) -> None:
    several = [pack for pack in packed(entries) if len(pack) > 1]

    assert [] == [pack for pack in several if sum(size for size, _ in pack) > 100]
    assert [] == [pack for pack in several if sum(inputs for _, inputs in pack) > 10]


@given(ENTRIES)
def test_equal_streams_give_equal_packs(entries: list[tuple[int, int]]) -> None:
    assert packed(entries) == packed(list(entries))


def test_a_large_file_is_alone_and_does_not_break_up_the_pack_around_it() -> None:
    assert [[(100, 1)], [(10, 1), (20, 1)]] == packed([(10, 1), (100, 1), (20, 1)])


def test_packs_are_filled_to_the_brim() -> None:
    assert [[(1, 1)] * 10, [(1, 1)] * 10, [(1, 1)]] == packed([(1, 1)] * 21)
    assert [[(50, 1), (50, 1)], [(50, 1)]] == packed([(50, 1)] * 3)


def test_a_pack_that_could_hold_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one file"):
        Packer(max_items=0, max_bytes=1)


@pytest.mark.parametrize(
    ("text", "size"), [("1", 1), ("4096", 4096), ("10 MB", 10_000_000), ("256MiB", 268_435_456), (" 2GiB ", 2**31)]
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert size == parse_size(text)


@pytest.mark.parametrize("text", ["", "-1", "1.5MiB", "MiB", "10 mb", "1 TiBs", "٣"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)
