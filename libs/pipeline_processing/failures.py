"""From an exception to a failure that may be shown: no row values (law 13), a fingerprint that groups causes. Pure."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

from etl_core.errors import ConfigError, EtlError, Permanent
from pipeline_processing.model import Failure

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import CodeType, FrameType, TracebackType

OWN_PACKAGES: Final = (
    "etl_core",
    "pipeline_processing",
    "data_pipeline",
    "pipeline_controller",
    "pipeline_worker",
    "pipeline_operator",
    "pipeline_local",
)
MESSAGE_LIMIT: Final = 500
TRACE_LIMIT: Final = 20
_READ_LIMIT: Final = 2000

_PLACEHOLDERS: Final = (
    # Quotes first: what stands in them is a value in nearly every library's messages. One never closed runs to the end.
    (re.compile(r'"(?:[^"\\]|\\.)*(?:"|$)', re.DOTALL), "<text>"),
    (re.compile(r"(?:(?<!\w)|(?<=\b[bru]))'.*?(?:'(?!\w)|$)", re.DOTALL), "<text>"),
    (
        re.compile(r"`[^`]*(?:`|$)|\u201c[^\u201d]*(?:\u201d|$)|\u2018[^\u2019]*(?:\u2019|$)|«[^»]*(?:»|$)", re.DOTALL),
        "<text>",
    ),
    # PostgreSQL spells offending values as Key (column)=(value) and Failing row contains (…).
    (re.compile(r"(?!\[Errno)[\[({][^\[\](){}]+[\])}]"), "<list>"),
    (re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+"), "<email>"),
    (re.compile(r"[^\s/]*(?:/[^\s/]*){2,}"), "<path>"),
    (re.compile(r"\b(?=[0-9a-fA-F-]*\d)[0-9a-fA-F][0-9a-fA-F-]{7,}\b"), "<id>"),
    (re.compile(r"\d+(?:[.,:]\d+)*"), "<n>"),
)
_LIBRARY_WORD: Final = re.compile(r"\s*(?:\[Errno <n>\] )?(?:[A-Za-z]+:?(?=\s+[a-z0-9<\[({]))?")
"""A message's first word, where a sentence goes on after it: it is the library's own, not a value."""
_VALUE: Final = re.compile(r"=[=\s]*[^\s,;]+")
_HIDDEN: Final = re.compile(r"=[=\s]*(?:<(?:text|list|email|path|id|n)>)+[.:!?]?")
_LIST: Final = re.compile(r"[,/;|]")
_TOKEN: Final = re.compile(r"\S+")


def describe(error: BaseException, *, packages: Sequence[str] = ()) -> Failure:
    """Return the failure that ``error`` is; frames of ``packages`` (the processor's) are shown beside our own.

    Of an exception group the permanent member speaks, else the first: one part that fails for ever fails the item.
    All but Permanent counts as transient: it is retried, and buried when the attempts are used up. A ConfigError too: a
    deployment that lacks a database is no fault of its items.
    """
    error = _speaker(error)
    kind = type(error)
    name = (
        kind.__qualname__
        if kind.__module__ in {"builtins", "etl_core.errors"}
        else f"{kind.__module__}.{kind.__qualname__}"
    )
    frames = [frame for frame in _frames(error.__traceback__) if _package(frame[0]) in {*OWN_PACKAGES, *packages}]
    text = str(error).encode(errors="replace").decode()  # a lone surrogate (from a file name) is no JSON
    template = _masked(text)[:MESSAGE_LIMIT] if isinstance(error, EtlError) else scrub(text)
    return Failure(
        error_class=name,
        message=(text if isinstance(error, EtlError) else template)[:MESSAGE_LIMIT],
        fingerprint=fingerprint(name, template, _place(frames)),
        transient=not isinstance(error, Permanent),
        trace=tuple(f"{module}:{line} {code.co_qualname}" for module, line, code in frames[-TRACE_LIMIT:]),
    )


def fingerprint(error_class: str, template: str, place: str) -> str:
    """Return 12 hex digits of a cause: class, message without values, function (not line: that moves)."""
    return hashlib.blake2b(f"{error_class}\0{template}\0{place}".encode(errors="replace"), digest_size=6).hexdigest()


def scrub(message: str) -> str:
    """Return a foreign ``message`` with placeholders for all that looks like a value.

    Hidden are quoted text, lists (in brackets, or joined by commas, slashes, semicolons or bars), e-mail addresses,
    paths, ids, numbers, what follows ``=``, and each word with a letter that is upper-case or not ASCII. A value that
    looks like prose is not: plain lower-case words stay, and a first word that a lower-case one follows.
    """
    message = _masked(message)
    message = _VALUE.sub(lambda found: found[0] if _HIDDEN.fullmatch(found[0]) else "=<text>", message)
    first = _LIBRARY_WORD.match(message)
    start = first.end() if first else 0
    return (message[:start] + _TOKEN.sub(lambda found: _word(found[0]), message[start:]))[:MESSAGE_LIMIT]


def _word(token: str) -> str:
    word, end = (token[:-1], token[-1]) if token[-1] in ".,:;!?" else (token, "")
    if _LIST.search(word):
        return f"<list>{end}"
    return token if word.isascii() and word == word.lower() else f"<text>{end}"


def _masked(message: str) -> str:
    message = message[:_READ_LIMIT]
    for pattern, placeholder in _PLACEHOLDERS:
        found = 1
        while (
            found
        ):  # a list in a list is found once its inner one is gone; no placeholder holds what a pattern looks for
            message, found = pattern.subn(placeholder, message)
    return message


def _speaker(error: BaseException) -> BaseException:
    if not isinstance(error, BaseExceptionGroup):
        return error
    members = [_speaker(member) for member in error.exceptions]
    return next((member for member in members if isinstance(member, Permanent | ConfigError)), members[0])


def _frames(trace: TracebackType | None) -> Iterator[tuple[str, int, CodeType]]:
    while trace is not None:
        frame: FrameType = trace.tb_frame
        yield str(frame.f_globals.get("__name__", "?")), trace.tb_lineno, frame.f_code
        trace = trace.tb_next


def _package(module: str) -> str:
    return module.partition(".")[0]


def _place(frames: Sequence[tuple[str, int, CodeType]]) -> str:
    """Return the innermost function that knows what it was doing: an adapter's only when there is no other."""
    callers = [frame for frame in frames if _package(frame[0]) != "etl_core"] or frames
    return f"{callers[-1][0]}:{callers[-1][2].co_qualname}" if callers else ""
