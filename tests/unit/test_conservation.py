from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_core.errors import InvalidData
from pipeline_processing.conservation import STRAYS_KEPT, Balance, Conservation, KeyState, join
from pipeline_processing.manifest import Tally
from pipeline_processing.model import Item

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

T = TypeVar("T")
ITEMS = sorted((Item("p", f"a{n % 3}", {"n": n}, n % 5) for n in range(60)), key=lambda item: item.item_id)
IDS = st.sets(st.integers(min_value=0, max_value=59)).map(lambda numbers: {ITEMS[n].item_id for n in numbers})


async def stream(values: Sequence[T]) -> AsyncIterator[T]:
    for value in values:
        yield value


async def joined(
    items: Sequence[Item], done: Sequence[str], dead: Sequence[str], strays: list[str]
) -> list[tuple[Item, KeyState]]:
    pairs = join(stream(items), stream(done), stream(dead), stray=strays.append)
    return [pair async for pair in pairs]


@given(planned=IDS, done=IDS, dead=IDS)
def test_every_item_has_the_state_that_sets_give_it_and_the_rest_are_strays(
    planned: set[str], done: set[str], dead: set[str]
) -> None:
    items = [item for item in ITEMS if item.item_id in planned]
    strays: list[str] = []
    found = asyncio.run(joined(items, sorted(done), sorted(dead), strays))
    expected = [
        (item, "done" if item.item_id in done else "dead" if item.item_id in dead else "pending") for item in items
    ]
    assert expected == found
    assert sorted([*(done - planned), *(dead - planned)]) == sorted(strays)


@given(done=IDS, dead=IDS)
def test_a_balance_is_conserved_for_the_run_and_for_each_agency(done: set[str], dead: set[str]) -> None:
    conservation = Conservation()
    for item, state in asyncio.run(joined(ITEMS, sorted(done), sorted(dead), [])):
        conservation.add(item, state)
    balances = [conservation.total, *conservation.agencies.values()]
    assert all(balance.is_conserved for balance in balances)
    assert Tally(60, sum(item.inputs for item in ITEMS)) == conservation.total.planned
    assert len(done) == conservation.total.done.items
    assert len(dead - done) == conservation.total.dead.items
    assert conservation.total.planned.inputs == sum(b.planned.inputs for b in conservation.agencies.values())


def test_a_balance_with_an_item_in_no_state_is_not_conserved() -> None:
    assert not Balance(planned=Tally(2, 2), done=Tally(1, 1)).is_conserved
    assert not Balance(planned=Tally(1, 2), done=Tally(1, 1)).is_conserved


@pytest.mark.parametrize("side", ["done", "dead"])
def test_a_listing_out_of_order_is_refused(side: str) -> None:
    ids = [ITEMS[3].item_id, ITEMS[1].item_id]
    done, dead = (ids, []) if side == "done" else ([], ids)
    with pytest.raises(InvalidData, match="out of order"):
        asyncio.run(joined(ITEMS, done, dead, []))


def test_strays_are_counted_and_only_some_are_kept() -> None:
    conservation = Conservation()
    for number in range(STRAYS_KEPT + 5):
        conservation.stray(f"{number:032x}")
    assert STRAYS_KEPT + 5 == conservation.strays
    assert STRAYS_KEPT == len(conservation.stray_ids)
