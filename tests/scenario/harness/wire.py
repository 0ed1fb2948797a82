"""The way between a process and the services: points of death, chance, and both services going away."""

from __future__ import annotations

import random
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypedDict, Unpack

from etl_core.testing.faults import Answer, FaultProxy, Reset, Rule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from etl_core.testing.faults import Fault
    from etl_core.testing.http_wire import Reply, Request


class Matching(TypedDict, total=False):
    """Which requests a rule takes, and when: see `Rule`."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: str
    operation: str
    after: int


COPY: Final[Matching] = {"method": "PUT", "headers": {"x-amz-copy-source": ""}}
MARKER: Final[Matching] = {"method": "PUT", "path": r"/done/[0-9a-f]{32}$"}


@dataclass(frozen=True)
class Interrupt:
    """Call ``action``, with the request forwarded and done or not, and reset the connection instead of answering."""

    action: Callable[[], object]
    forwards: bool


class Wire(FaultProxy):
    """A proxy whose requests can be points in time: nothing else passes while an `Interrupt` acts."""

    async def _reply(self, request: Request, fault: Fault | Interrupt | None) -> Reply | None:
        if not isinstance(fault, Interrupt):
            return await super()._reply(request, fault)
        if fault.forwards:
            await self._forward(request)
        fault.action()
        return None


class Sometimes(Rule):
    """A rule that takes a share of the requests it could take, by a seeded draw."""

    def __init__(self, fault: Fault, *, share: float, seed: int, **matching: Unpack[Matching]) -> None:
        super().__init__(fault, times=None, **matching)
        self._share, self._draw = share, random.Random(seed).random

    def takes(self, request: Request) -> bool:
        return self._draw() < self._share and super().takes(request)


def before(action: Callable[[], object], **matching: Unpack[Matching]) -> Rule:
    """Return the point just before a request reaches its service: it never does."""
    return _rule(Interrupt(action, forwards=False), **matching)


def after(action: Callable[[], object], **matching: Unpack[Matching]) -> Rule:
    """Return the point just after a request had its effect: nobody reads the reply."""
    return _rule(Interrupt(action, forwards=True), **matching)


@contextmanager
def stormy(wire: FaultProxy, *, share: float, seed: int) -> Iterator[list[Rule]]:
    """Throttle and reset that share of all requests, for as long as the block runs."""
    rules: list[Rule] = [
        Sometimes(Answer(503, "SlowDown"), share=share / 2, seed=seed),
        Sometimes(Reset(), share=share / 2, seed=seed + 1),
    ]
    for rule in rules:
        wire.add(rule)
    try:
        yield rules
    finally:
        wire.clear()


def _rule(fault: Interrupt, **matching: Unpack[Matching]) -> Rule:
    return Rule(fault, **matching)  # type: ignore[arg-type] # only a `Wire` is given it
