"""The way between a process and the services: points of death, chance, and both services going away."""

from __future__ import annotations

import random
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Self, TypedDict

from etl_core.testing.faults import Answer, FaultProxy, Reset, Rule

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator, Mapping

    from etl_core.testing.faults import Fault
    from etl_core.testing.http_wire import Reply, Request
    from harness.calls import Calls


class Matching(TypedDict, total=False):
    """Which requests a rule takes: see `Rule`."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: str
    operation: str


COPY: Final[Matching] = {"method": "PUT", "headers": {"x-amz-copy-source": ""}}
EXTEND: Final[Matching] = {"operation": "ChangeMessageVisibilityBatch"}
RECEIVE: Final[Matching] = {"operation": "ReceiveMessage"}
CATALOG: Final[Matching] = {"method": "PUT", "path": r"/catalog\.json$"}
MARKER: Final[Matching] = {"method": "PUT", "path": r"/done/[0-9a-f]{32}$"}


@dataclass(frozen=True)
class Interrupt:
    """Call ``action`` before or after the request has its effect, then reset the connection or go on as usual."""

    action: Callable[[], object]
    is_late: bool
    goes_on: bool = False


@dataclass(frozen=True)
class Twice:
    """Send the request twice and answer with the second reply: what a repeat below the SDK does."""


Act = Interrupt | Twice


class Wire(FaultProxy):
    """A proxy whose requests can be points in time: nothing else passes while an `Interrupt` acts.

    Each request is told to ``calls``, even one that a fault answers; and again when the service says: no such thing.
    """

    calls: Calls

    @classmethod
    @contextmanager
    def to(cls, upstream_url: str, calls: Calls) -> Iterator[Self]:
        """Serve from another thread, and tell ``calls`` what passes."""
        with cls.in_thread(upstream_url) as wire:
            wire.calls = calls
            yield wire

    async def _answer(
        self, request: Request, fault: Fault | None, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        self.calls.hear(request)
        return await super()._answer(request, fault, reader, writer)

    async def _forward(self, request: Request) -> Reply:
        reply = await super()._forward(request)
        if reply.status == HTTPStatus.NOT_FOUND and not request.operation:
            self.calls.hear(request, is_missing=True)
        return reply

    async def _reply(self, request: Request, fault: Fault | Act | None) -> Reply | None:
        match fault:
            case Interrupt(action=action, is_late=is_late, goes_on=goes_on):
                if not is_late:
                    action()
                reply = await self._forward(request) if is_late or goes_on else None
                if is_late:
                    action()
                return reply if goes_on else None
            case Twice():
                await self._forward(request)
                return await self._forward(request)
            case _:
                return await super()._reply(request, fault)


class Sometimes(Rule):
    """A rule that takes a share of all requests, by a seeded draw."""

    def __init__(self, fault: Fault, *, share: float, seed: int) -> None:
        super().__init__(fault, times=None)
        self._share, self._draw = share, random.Random(seed).random

    def takes(self, request: Request) -> bool:
        return self._draw() < self._share and super().takes(request)


@dataclass(frozen=True)
class Point:
    """A moment: before or after the effect of the first matching request, ``skipping`` so many of them."""

    where: Matching
    is_late: bool
    skipping: int = 0

    def rule(self, action: Callable[[], object], *, goes_on: bool = False) -> Rule:
        """Return the rule that calls ``action`` then; unless it ``goes_on``, nobody gets a reply."""
        return acting(Interrupt(action, is_late=self.is_late, goes_on=goes_on), self.where, after=self.skipping)


def before(where: Matching, *, skipping: int = 0) -> Point:
    """Return the point just before a request reaches its service."""
    return Point(where, is_late=False, skipping=skipping)


def after(where: Matching, *, skipping: int = 0) -> Point:
    """Return the point just after a request had its effect."""
    return Point(where, is_late=True, skipping=skipping)


def acting(fault: Fault | Act, where: Matching, *, times: int | None = 1, after: int = 0) -> Rule:
    """Return a rule for a `Wire`."""
    return Rule(fault, **where, times=times, after=after)  # type: ignore[arg-type] # a plain proxy knows no Act


def stormy(wire: FaultProxy, *, share: float, seed: int) -> list[Rule]:
    """Throttle and reset that share of all requests from now on; return the rules for their hits."""
    rules = [
        Sometimes(Answer(503, "SlowDown", "Please reduce your request rate."), share=share / 2, seed=seed),
        Sometimes(Reset(), share=share / 2, seed=seed + 1),
    ]
    return [wire.add(sometimes) for sometimes in rules]
