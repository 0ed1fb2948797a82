"""An SQS standard queue: visibility, receive counts, redrive, retention, counts that lag.

Sources: Amazon SQS Developer Guide, "Visibility timeout", "Dead-letter queues", "Quotas"; API Reference,
ReceiveMessage, ChangeMessageVisibility, DeleteMessage and GetQueueAttributes. `test_queue` holds it against those, and
against the product's own `MemoryQueue`.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final

from tests.simulation.scaling import Counts

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from tests.simulation.agenda import Agenda

BATCH: Final = 10
IN_FLIGHT_LIMIT: Final = 120_000
"""At this many in flight a receive comes back empty."""
VISIBILITY_LIMIT: Final = 12 * 3600.0
"""From the receive; a longer extension is refused."""


class State(Enum):
    DELAYED = auto()
    VISIBLE = auto()
    IN_FLIGHT = auto()
    GONE = auto()


class Message:
    """``receives`` is also the newest receipt: an older one neither extends nor deletes."""

    __slots__ = ("body", "doubles", "is_resumed", "received_at", "receives", "sent_at", "state", "visible_at")

    def __init__(self, body: Any, sent_at: float, *, is_resumed: bool, doubles: int) -> None:  # noqa: ANN401 - the caller's own
        self.body = body
        self.sent_at = sent_at
        self.is_resumed = is_resumed
        self.doubles = doubles
        self.state = State.VISIBLE
        self.receives = 0
        self.received_at = 0.0
        self.visible_at = 0.0


class SimulatedQueue:
    """Hands messages out in the order in which they became visible. ``moved`` and ``dropped`` are told the message."""

    def __init__(
        self,
        agenda: Agenda,
        *,
        retention: float,
        max_receives: int | None = None,
        dead_letters: SimulatedQueue | None = None,
        moved: Callable[[Message], None] = lambda _: None,
        dropped: Callable[[Message], None] = lambda _: None,
    ) -> None:
        self._agenda = agenda
        self.retention = retention
        self.max_receives = max_receives
        self.dead_letters = dead_letters
        self._moved, self._dropped = moved, dropped
        self._visible: deque[Message] = deque()
        self._hidden: list[tuple[float, int, Message]] = []
        self._by_age: list[tuple[float, int, Message]] = []
        self._order = itertools.count()
        self.visible = self.in_flight = self.delayed = 0
        self.receives = self.empty_receives = 0
        self._waiting: dict[Callable[[], None], None] = {}
        self._alarm: float | None = None
        self._seen: Counts | None = None
        self._seen_until = 0.0

    # What its users call

    def send(self, body: Any, *, delay: float = 0.0, is_resumed: bool = False, doubles: int = 0) -> Message:  # noqa: ANN401 - the caller's own
        """Put a new message in. Its first ``doubles`` hand-overs do not hide it: at least once is not once."""
        message = Message(body, self._agenda.now, is_resumed=is_resumed, doubles=doubles)
        self._enter(message, delay)
        return message

    def receive(self, limit: int, lease: float) -> list[Message]:
        """Return up to min(``limit``, 10) messages, hidden for ``lease`` seconds; empty at the limit in flight."""
        now = self._agenda.now
        self._settle(now)
        self.receives += 1
        got: list[Message] = []
        doubled: list[Message] = []
        visible, limit = self._visible, min(limit, BATCH)
        while visible and len(got) < limit and self.in_flight < IN_FLIGHT_LIMIT:
            message = visible.popleft()
            if message.state is not State.VISIBLE:
                continue
            if self.dead_letters is not None and message.receives >= (self.max_receives or 1):
                self._remove(message)
                self.dead_letters.accept(message)
                self._moved(message)
                continue
            message.receives += 1
            message.received_at = now
            self.visible -= 1
            if message.doubles:
                message.doubles -= 1
                doubled.append(message)
            else:
                message.state = State.IN_FLIGHT
                self._hold(message)
                self._hide(message, now + lease)
            got.append(message)
        for message in doubled:
            self._show(message)
        if not got:
            self.empty_receives += 1
        return got

    def extend(self, message: Message, receipt: int, lease: float) -> bool:
        """Set the remaining lease, zero for giving back; say whether that was allowed."""
        now = self._agenda.now
        self._settle(now)
        is_held = message.state is State.IN_FLIGHT and message.receives == receipt
        if not is_held or now + lease - message.received_at > VISIBILITY_LIMIT:
            return False
        if lease > 0:
            self._hide(message, now + lease)
        else:
            self._let_go(message)
            self._show(message)
        self._set_alarm()
        return True

    def delete(self, message: Message, receipt: int) -> bool:
        """Acknowledge; say whether it is gone by this. By an older receipt than the newest nothing is deleted."""
        is_newest = message.receives == receipt and message.state is not State.GONE
        if is_newest:
            self._remove(message)
        return is_newest

    def accept(self, message: Message) -> None:
        """Take over what another queue gives up: the send time stays, so retention goes on from there."""
        moved = Message(message.body, message.sent_at, is_resumed=message.is_resumed, doubles=0)
        self._enter(moved, 0.0)

    def wait(self, wake: Callable[[], None]) -> None:
        """Call ``wake`` once there may be a message: a long poll that is repeated for ever."""
        self._waiting[wake] = None
        self._set_alarm()

    def leave(self, wake: Callable[[], None]) -> None:
        """Wait no more."""
        self._waiting.pop(wake, None)

    def nudge(self) -> None:
        """Wake the next that waits if there is a message: who was woken has gone."""
        if self.visible and self._waiting:
            wake = next(iter(self._waiting))
            del self._waiting[wake]
            self._agenda.at(self._agenda.now, wake)

    # What it says of itself

    def is_full(self) -> bool:
        return self.in_flight >= IN_FLIGHT_LIMIT

    def counts(self) -> Counts:
        """Return what really is in it."""
        now = self._agenda.now
        self._settle(now)
        while self._by_age and self._by_age[0][2].state is State.GONE:
            heapq.heappop(self._by_age)
        oldest = now - self._by_age[0][0] if self._by_age else 0.0
        return Counts(self.visible, self.in_flight, self.delayed, oldest)

    def approximate(self, chance: Random, lag: float) -> Counts:
        """Return counts that are up to ``lag`` seconds old, as GetQueueAttributes may."""
        now = self._agenda.now
        if self._seen is None or now >= self._seen_until:
            self._seen = self.counts()
            self._seen_until = now + chance.random() * lag
        return self._seen

    # How it keeps them

    def _enter(self, message: Message, delay: float) -> None:
        heapq.heappush(self._by_age, (message.sent_at, next(self._order), message))
        if delay > 0:
            message.state = State.DELAYED
            self.delayed += 1
            self._hide(message, self._agenda.now + delay)
            self._set_alarm()
        else:
            self._show(message)

    def _hold(self, message: Message) -> None:
        self.in_flight += 1

    def _let_go(self, message: Message) -> None:
        self.in_flight -= 1

    def _hide(self, message: Message, until: float) -> None:
        message.visible_at = until
        heapq.heappush(self._hidden, (until, next(self._order), message))

    def _show(self, message: Message) -> None:
        """Make visible what has left its state's count already."""
        message.state = State.VISIBLE
        self.visible += 1
        self._visible.append(message)
        if self._waiting:
            self.nudge()

    def _remove(self, message: Message) -> None:
        self._leave_count(message)
        message.state = State.GONE

    def _leave_count(self, message: Message) -> None:
        if message.state is State.VISIBLE:
            self.visible -= 1
        elif message.state is State.IN_FLIGHT:
            self._let_go(message)
        elif message.state is State.DELAYED:
            self.delayed -= 1

    def _settle(self, now: float) -> None:
        """Show what is due, drop what is too old."""
        hidden = self._hidden
        while hidden and hidden[0][0] <= now:
            at, _, message = heapq.heappop(hidden)
            if message.visible_at == at and (message.state is State.IN_FLIGHT or message.state is State.DELAYED):
                self._leave_count(message)
                self._show(message)
        by_age, latest = self._by_age, now - self.retention
        while by_age and by_age[0][0] <= latest:
            _, _, message = heapq.heappop(by_age)
            if message.state is not State.GONE:
                self._remove(message)
                self._dropped(message)

    def _set_alarm(self) -> None:
        """See to it that those who wait are woken when a hidden message comes back."""
        hidden = self._hidden
        while hidden and (hidden[0][2].state is State.GONE or hidden[0][2].visible_at != hidden[0][0]):
            heapq.heappop(hidden)
        if self._waiting and hidden and (self._alarm is None or hidden[0][0] < self._alarm):
            self._alarm = hidden[0][0]
            self._agenda.at(self._alarm, self._ring)

    def _ring(self) -> None:
        if self._alarm is not None and self._agenda.now >= self._alarm:
            self._alarm = None
        self._settle(self._agenda.now)
        self._set_alarm()
