"""The messages of one standard queue, arranged so that no call scans them: a receive costs the same at 10 or 100,000.

Takes the place of the plain list that ministack keeps in ``queue["messages"]``, and answers like one where its other
services append to it or iterate over it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import copy
import heapq
import itertools
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Message: TypeAlias = dict[str, Any]
"""ministack's own record of a message; `id`, `visible_at`, `receive_count`, `receipt_handle` matter here."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many messages are in each state."""

    visible: int
    in_flight: int
    delayed: int


class Backlog:
    """Every message is either in the visible line or in the heap of those that will be visible at a known time.

    Belongs to one event loop; `append` alone may also be called from other threads.
    """

    def __init__(self, messages: Iterable[Message] = (), *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._order = itertools.count()
        self._visible: OrderedDict[int, Message] = OrderedDict()
        self._hidden: dict[int, Message] = {}
        self._wakes: list[tuple[float, int]] = []
        self._place: dict[str, int] = {}
        self._receipts: dict[str, str] = {}
        self._waiters: set[asyncio.Future[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        for message in messages:
            self._add(message)
            if message.get("receipt_handle"):
                self._receipts[message["receipt_handle"]] = message["id"]

    # what a list can do, as far as ministack asks for it

    def append(self, message: Message) -> None:
        """Add a message; from another thread (S3's notifications) it is handed to the loop."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._add, message)
                return
        self._add(message)

    def __iter__(self) -> Iterator[Message]:
        return iter([*self._visible.values(), *self._hidden.values()])

    def __len__(self) -> int:
        return len(self._visible) + len(self._hidden)

    def __deepcopy__(self, memo: dict[int, Any]) -> list[Message]:
        """Return plain data, which is what ministack saves."""
        return [copy.deepcopy(message, memo) for message in self]

    def clear(self) -> None:
        """Forget every message."""
        for store in (self._visible, self._hidden, self._wakes, self._place, self._receipts):
            store.clear()

    # what a queue does

    def take(self, limit: int, visibility: float, refuse: Callable[[Message], bool] = lambda _: False) -> list[Message]:
        """Hand out up to ``limit`` visible messages; those that ``refuse`` accepts leave the queue instead."""
        now = self._surface()
        taken: list[Message] = []
        while self._visible and len(taken) < limit:
            _, message = self._visible.popitem(last=False)
            del self._place[message["id"]]
            if refuse(message):
                self._forget_receipt(message)
                continue
            self._forget_receipt(message)
            message["receive_count"] += 1
            message["received_at"] = now
            message["visible_at"] = now + visibility
            if message.get("first_receive_at") is None:
                message["first_receive_at"] = now
            message["receipt_handle"] = _receipt(message)
            self._receipts[message["receipt_handle"]] = message["id"]
            taken.append(message)
        for message in taken:  # only now: with visibility 0 it would be taken twice
            self._add(message)
        return taken

    def give_back(self, message: Message) -> None:
        """Undo a `take` whose receiver turned out to be gone: nobody ever saw the message."""
        place = self._place.get(message["id"])
        if place is None or place not in self._hidden:
            return
        del self._hidden[place]
        self._forget_receipt(message)
        message["receive_count"] -= 1
        if message["receive_count"] == 0:
            message["first_receive_at"] = None
        message["visible_at"] = self._clock()
        self._add(message)

    def remove(self, receipt: str) -> None:
        """Delete the message of this receipt; ValueError when it is no receipt at all.

        The receipt of a deleted message, or an older one than the newest, deletes nothing and is no error.
        """
        message_id = _message_of(receipt)
        if self._receipts.pop(receipt, None) is None:
            return
        place = self._place.pop(message_id)
        self._visible.pop(place, None)
        self._hidden.pop(place, None)

    def release(self, message: Message) -> bool:
        """Take a message that is visible now out of the queue; False when it was received or deleted meanwhile."""
        self._surface()
        place = self._place.get(message["id"])
        if place is None or self._visible.pop(place, None) is None:
            return False
        del self._place[message["id"]]
        self._forget_receipt(message)
        return True

    def hide(self, receipt: str, seconds: float, *, longest: float) -> None:
        """Set the remaining visibility timeout.

        ValueError: no receipt at all. KeyError: not in flight by this receipt. OverflowError: beyond ``longest`` since
        the message was received.
        """
        message_id = _message_of(receipt)
        now = self._surface()
        if receipt not in self._receipts or self._place[message_id] not in self._hidden:
            raise KeyError(receipt)
        message = self._hidden[self._place[message_id]]
        if now + seconds - message["received_at"] > longest:
            raise OverflowError(receipt)
        del self._hidden[self._place[message_id]]
        message["visible_at"] = now + seconds
        self._add(message)

    def visible(self) -> list[Message]:
        """Return the messages that could be received now, oldest first."""
        self._surface()
        return list(self._visible.values())

    def counts(self) -> Counts:
        """Return how many messages are in each state; costs as much as there are hidden ones."""
        self._surface()
        in_flight = sum(1 for message in self._hidden.values() if message["receive_count"])
        return Counts(len(self._visible), in_flight, len(self._hidden) - in_flight)

    async def changed(self, patience: float) -> None:
        """Return as soon as a message may be visible, at the latest after ``patience`` seconds."""
        self._loop = asyncio.get_running_loop()
        now = self._surface()
        if self._visible:
            return
        if self._wakes:
            patience = min(patience, max(0.0, self._wakes[0][0] - now))
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiters.add(waiter)
        try:
            await asyncio.wait((waiter,), timeout=patience)
        finally:
            self._waiters.discard(waiter)

    def _add(self, message: Message) -> None:
        place = next(self._order)
        self._place[message["id"]] = place
        if message["visible_at"] > self._clock():
            self._hidden[place] = message
            heapq.heappush(self._wakes, (message["visible_at"], place))
        else:
            self._visible[place] = message
        # Also for a hidden one: it may be due before anything that the waiters wait for.
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _surface(self) -> float:
        """Move what has become visible into the line; return now."""
        now = self._clock()
        while self._wakes and self._wakes[0][0] <= now:
            _, place = heapq.heappop(self._wakes)
            message = self._hidden.pop(place, None)
            if message is not None:
                self._visible[place] = message
        return now

    def _forget_receipt(self, message: Message) -> None:
        receipt = message["receipt_handle"]
        if receipt is not None:
            self._receipts.pop(receipt, None)
        message["receipt_handle"] = None


def _receipt(message: Message) -> str:
    """Return this hand-over's handle; it tells a real but outdated handle from nonsense."""
    return base64.urlsafe_b64encode(f"{message['id']}/{message['receive_count']}/{time.time_ns()}".encode()).decode()


def _message_of(receipt: str) -> str:
    try:
        message_id, _, _ = base64.urlsafe_b64decode(receipt.encode()).decode().split("/")
    except (binascii.Error, UnicodeError):
        raise ValueError(receipt) from None
    return message_id
