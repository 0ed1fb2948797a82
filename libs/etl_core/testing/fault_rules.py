"""What can go wrong on the way to a service, and for which requests."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from etl_core.testing.http_wire import Request


@dataclass(frozen=True)
class Answer:
    """Answer an AWS error, and do not forward."""

    status: int
    code: str
    message: str = "injected"


@dataclass(frozen=True)
class Reset:
    """Reset the connection, and do not forward: the request had no effect."""


@dataclass(frozen=True)
class LoseReply:
    """Forward, wait for the reply, and reset the connection instead of passing it on: the request had its effect."""


@dataclass(frozen=True)
class CutReply:
    """Pass on the head and so many bytes of the reply's body, then reset the connection."""

    after_bytes: int


@dataclass(frozen=True)
class Delay:
    """Forward after this time."""

    duration: timedelta


@dataclass(frozen=True)
class Silence:
    """Never answer, and do not forward; it ends when the client hangs up."""


@dataclass(frozen=True)
class ChangeHeaders:
    """Remove these headers, given in lower case, from the reply, and put ``more`` in their place."""

    names: frozenset[str]
    more: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class RepeatReceive:
    """Answer the next ReceiveMessage with this one's reply: a duplicate delivery."""


@dataclass(frozen=True)
class FailEntries:
    """Fail the entries of an SQS batch call at these positions; the others are forwarded."""

    positions: frozenset[int]
    code: str = "InternalError"
    sender_fault: bool = False


Fault = Answer | Reset | LoseReply | CutReply | Delay | Silence | ChangeHeaders | RepeatReceive | FailEntries


@dataclass
class Rule:
    """What goes wrong, for which requests, how often.

    All patterns are searched for, and each one given must be found. ``operation`` is an SQS action such as
    ``SendMessageBatch``; ``times=None`` never ends; ``after`` lets that many matching requests pass first.
    """

    fault: Fault
    method: str | None = None
    path: str | None = None
    query: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    operation: str | None = None
    times: int | None = 1
    after: int = 0
    hits: int = 0
    """How often it has gone wrong."""

    def takes(self, request: Request) -> bool:
        """Say whether this request goes wrong, and count it if so."""
        if not self._matches(request) or (self.times is not None and self.hits >= self.times):
            return False
        if self.after:
            self.after -= 1
            return False
        self.hits += 1
        return True

    def _matches(self, request: Request) -> bool:
        path, _, query = request.target.partition("?")
        wanted: list[tuple[str | None, str | None]] = [
            (self.method, request.method),
            (self.path, path),
            (self.query, query),
            (self.operation and f"^{self.operation}$", request.operation),
            *((pattern, request.headers.get(name.lower())) for name, pattern in self.headers.items()),
        ]
        if self.body is not None:
            wanted.append((self.body, request.body.decode("utf-8", "replace")))
        return all(pattern is None or (text is not None and re.search(pattern, text)) for pattern, text in wanted)
