"""SQS fair queues: a standard queue whose messages carry a MessageGroupId hands out quiet groups' messages first.

Source: Amazon SQS Developer Guide, "How Amazon SQS fair queues work": a group is noisy while it has more than a tenth
of all messages in flight, and at least 30. (Its second measure, the share of processing time, has no published window,
so it is left out. The thresholds are approximate there, exact here.)
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from tests.simulation.queue import SimulatedQueue

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.queue import Message

SHARE: Final = 0.1
LEAST: Final = 30


class FairQueue(SimulatedQueue):
    """Its messages' bodies are lives of items, whose agencies are the groups."""

    def __init__(self, *given: Any, **named: Any) -> None:  # noqa: ANN401 - what a queue takes
        super().__init__(*given, **named)
        self._held: Counter[int] = Counter()
        self._visible = Line(self._is_noisy)

    def _hold(self, message: Message) -> None:
        super()._hold(message)
        self._held[group(message)] += 1

    def _let_go(self, message: Message) -> None:
        super()._let_go(message)
        self._held[group(message)] -= 1

    def _is_noisy(self, name: int) -> bool:
        held = self._held[name]
        return held >= LEAST and held > SHARE * self.in_flight


class Line(deque["Message"]):
    """The visible messages, group by group. Of quiet groups, else of all, the one that has waited longest is first."""

    def __init__(self, is_noisy: Callable[[int], bool]) -> None:
        super().__init__()
        self._is_noisy = is_noisy
        self._groups: dict[int, deque[tuple[int, Message]]] = {}
        self._heads: list[tuple[int, int]] = []
        """(order of its first message, group) of each group that has messages."""
        self._order = count()

    def __bool__(self) -> bool:
        return bool(self._heads)

    def __len__(self) -> int:
        return sum(len(messages) for messages in self._groups.values())

    def append(self, message: Message) -> None:
        name, order = group(message), next(self._order)
        messages = self._groups.setdefault(name, deque())
        if not messages:
            heapq.heappush(self._heads, (order, name))
        messages.append((order, message))

    def popleft(self) -> Message:
        noisy: list[tuple[int, int]] = []
        while self._heads and self._is_noisy(self._heads[0][1]):
            noisy.append(heapq.heappop(self._heads))
        first = heapq.heappop(self._heads) if self._heads else noisy.pop(0)
        for head in noisy:
            heapq.heappush(self._heads, head)
        messages = self._groups[first[1]]
        _, message = messages.popleft()
        if messages:
            heapq.heappush(self._heads, (messages[0][0], first[1]))
        return message


def group(message: Message) -> int:
    agency: int = message.body.item.agency
    return agency
