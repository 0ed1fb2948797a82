"""Planned = done + skipped + dead + pending: a streaming merge join of the manifest with what the run has recorded.

All three sides come sorted by item id, so memory does not grow with them. The listings are read while workers write: an
item finished meanwhile may still count as dead or pending, never the other way round.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from etl_core.errors import InvalidData
from pipeline_processing.manifest import Tally
from pipeline_processing.model import Gathered

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from pipeline_processing.evidence import Evidence
    from pipeline_processing.manifest import Manifest, Manifests
    from pipeline_processing.markers import Markers
    from pipeline_processing.model import Item, ItemState, Marker

KeyState = Literal["done", "dead", "pending"]
"""What keys alone can say; *skipped* stands in the marker's body."""

STRAYS_KEPT: Final = 20
_AHEAD: Final = 128
"""Items whose markers are read before the first of them is handed on: bounds what big marker bodies can hold."""


@dataclass(slots=True)
class Balance:
    """The items and inputs in each state. ``failed_inputs`` belong to items that are done all the same."""

    planned: Tally = field(default_factory=Tally)
    done: Tally = field(default_factory=Tally)
    skipped: Tally = field(default_factory=Tally)
    dead: Tally = field(default_factory=Tally)
    pending: Tally = field(default_factory=Tally)
    failed_inputs: int = 0

    def add(self, item: Item, state: ItemState, marker: Marker | None = None) -> None:
        """Count ``item`` as planned and as what became of it."""
        self.planned.add(item)
        self.of(state).add(item)
        if marker is not None:
            self.failed_inputs += marker.result.failed

    def of(self, state: ItemState) -> Tally:
        """Return the tally of one state."""
        tally: Tally = getattr(self, state)
        return tally

    @property
    def is_conserved(self) -> bool:
        """Say whether the states add up to what was planned."""
        states = (self.done, self.skipped, self.dead, self.pending)
        return (self.planned.items, self.planned.inputs) == (
            sum(state.items for state in states),
            sum(state.inputs for state in states),
        )


@dataclass(slots=True)
class Conservation:
    """A run's balance, whole and per agency; grows with the number of agencies only."""

    total: Balance = field(default_factory=Balance)
    agencies: dict[str, Balance] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)
    """Inputs by what their processor called the outcome."""
    strays: int = 0
    """Markers and dossiers of items that the manifest does not have."""
    stray_ids: list[str] = field(default_factory=list)
    """The first `STRAYS_KEPT` of them."""

    def add(self, item: Item, state: ItemState, marker: Marker | None = None) -> None:
        """Count ``item`` for the run and for its agency."""
        self.total.add(item, state, marker)
        self.agencies.setdefault(item.agency_id, Balance()).add(item, state, marker)
        if marker is not None:
            self.outcomes.update(marker.result.counts)

    def stray(self, item_id: str) -> None:
        """Take note of a record that belongs to no item of the manifest."""
        self.strays += 1
        if len(self.stray_ids) < STRAYS_KEPT:
            self.stray_ids.append(item_id)


async def join(
    items: AsyncIterator[Item],
    done: AsyncIterator[str],
    dead: AsyncIterator[str],
    *,
    stray: Callable[[str], None],
) -> AsyncIterator[tuple[Item, KeyState]]:
    """Yield each item with its state; done beats dead. Ids on no item go to ``stray``.

    All three must ascend: InvalidData where an id does not, for then the answer would be wrong.
    """
    markers, dossiers = _Cursor(done, "markers", stray), _Cursor(dead, "dossiers", stray)
    async for item in items:
        is_done, is_dead = await markers.reach(item.item_id), await dossiers.reach(item.item_id)
        yield item, "done" if is_done else "dead" if is_dead else "pending"
    await markers.exhaust()
    await dossiers.exhaust()


class _Cursor:
    """Walks one ascending stream of ids, side by side with another."""

    def __init__(self, ids: AsyncIterator[str], name: str, stray: Callable[[str], None]) -> None:
        self._ids, self._name, self._stray = ids, name, stray
        self._head: str | None = ""

    async def reach(self, item_id: str) -> bool:
        """Move to ``item_id`` and say whether it is there."""
        while self._head is not None and self._head < item_id:
            await self._advance(self._head)
        if self._head != item_id:
            return False
        # What was matched must not be taken for a stray when the cursor moves on.
        self._head = await self._next(item_id)
        return True

    async def exhaust(self) -> None:
        while self._head is not None:
            await self._advance(self._head)

    async def _advance(self, head: str) -> None:
        if head:
            self._stray(head)
        self._head = await self._next(head)

    async def _next(self, head: str) -> str | None:
        following = await anext(self._ids, None)
        if following is not None and following <= head:
            raise InvalidData(f"the listing of {self._name} is out of order at {following}")
        return following


class Conserver:
    """Reads what became of one run's items."""

    def __init__(self, manifests: Manifests, manifest: Manifest, markers: Markers, evidence: Evidence) -> None:
        self._manifests, self._manifest, self._markers, self._evidence = manifests, manifest, markers, evidence

    def states(self, *, stray: Callable[[str], None] = lambda _: None) -> AsyncIterator[tuple[Item, KeyState]]:
        """Yield every item with its state, from keys alone."""
        return join(
            self._manifests.items(self._manifest),
            self._markers.list(),
            self._evidence.list_dossiers(),
            stray=stray,
        )

    async def survey(self) -> Conservation:
        """Return the balance from keys alone: skipped items count as done, no input as failed."""
        conservation = Conservation()
        async for item, state in self.states(stray=conservation.stray):
            conservation.add(item, state)
        return conservation

    async def progress(self) -> tuple[int, int]:
        """Return how many items are done and how many dead, without reading the manifest; strays count too."""
        done = dead = 0
        dossiers = self._evidence.list_dossiers()
        head = await anext(dossiers, None)
        async for item_id in self._markers.list():
            done += 1
            while head is not None and head <= item_id:
                dead += head < item_id
                head = await anext(dossiers, None)
        while head is not None:
            dead += 1
            head = await anext(dossiers, None)
        return done, dead

    async def gather(self, conservation: Conservation) -> AsyncIterator[Gathered]:
        """Yield every item with what became of it, markers read, and count each into ``conservation`` as it goes by."""
        ahead: list[tuple[Item, KeyState]] = []
        async for pair in self.states(stray=conservation.stray):
            ahead.append(pair)
            if len(ahead) >= _AHEAD:
                async for gathered in self._read(ahead):
                    conservation.add(gathered.item, gathered.state, gathered.marker)
                    yield gathered
                ahead = []
        async for gathered in self._read(ahead):
            conservation.add(gathered.item, gathered.state, gathered.marker)
            yield gathered

    async def _read(self, pairs: list[tuple[Item, KeyState]]) -> AsyncIterator[Gathered]:
        markers = self._markers.read_many(item.item_id for item, state in pairs if state == "done")
        for item, state in pairs:
            if state == "done":
                marker = await anext(markers)
                yield Gathered(item, marker.result.status, marker)
            else:
                yield Gathered(item, state)
