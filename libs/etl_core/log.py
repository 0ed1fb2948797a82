"""Structured logs: one event a line, to stderr, with ids and counts and nothing else (law 13).

An event is a fixed name with keys: ``log.info("item.settled", item_id=…, settlement="retry")``. A key that `SAFE_KEYS`
does not know is masked, so that a value which nobody thought about does not leave the process. Exceptions are logged by
class and frames; only messages of our own error tree are shown, as those hold ids and counts by rule.
"""

from __future__ import annotations

import logging
import re
import sys
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final, Literal, TextIO

import orjson
import structlog
from structlog.contextvars import merge_contextvars

from etl_core.errors import EtlError

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from types import TracebackType

    from structlog.typing import Processor

Level = Literal["debug", "info", "warning", "error"]
Style = Literal["json", "console"]

SAFE_KEYS: Final = re.compile(
    r".+_(?:id|ids|count|counts|seconds|bytes|at|class|version|bucket|queue|port|limit|size)"
    r"|event|level|timestamp|logger|error|trace|code|reason|rule|fingerprint|way_out|state|status"
    r"|run|job|lane|queue|bucket|key|prefix|part|host|port|url|address|signal|pid|worker|processor|processors"
    r"|attempt|attempts|outcome|settlement|action|change|number|count|counts|total|rate|limit|concurrency|receivers"
    r"|items|inputs|deliveries|messages|entries|objects|parts|rows|files|batches|requests|bytes|letters|runs|agencies"
    r"|table|app|version|source|dataset|added|removed|before|after|left|races_lost"
    r"|planned|sent|done|skipped|dead|pending|failed|in_flight|dropped|redriven|released|orphans|stray|findings"
)
MASK: Final = "<masked>"
_TEXT_LIMIT: Final = 1000
_FRAMES: Final = 20


def configure(*, level: Level = "info", style: Style = "json", stream: TextIO | None = None) -> None:
    """Send structlog's events and the standard library's records to ``stream`` (stderr); call it once, at start.

    Records of libraries below warning are dropped unless ``level`` is debug, and are logged by their template without
    its arguments: what a library puts there is not ours to vouch for.
    """
    target = stream or sys.stderr
    threshold = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        explain_exceptions,
        mask_unknown_keys,
    ]
    if style == "json":
        renderer: list[Processor] = [structlog.processors.JSONRenderer(serializer=_serialize)]
        factory: Any = structlog.WriteLoggerFactory(target)
    else:
        renderer = [structlog.dev.ConsoleRenderer(colors=target.isatty())]
        factory = structlog.PrintLoggerFactory(target)
    structlog.configure(
        processors=shared + renderer,
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=factory,
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(
        level=threshold if level == "debug" else max(threshold, logging.WARNING), handlers=[_Routed()], force=True
    )
    logging.captureWarnings(capture=True)


def mask_unknown_keys(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Mask what stands under a key that `SAFE_KEYS` does not know; what is no plain value is shown as its type."""
    for key, value in event.items():
        event[key] = _plain(value) if SAFE_KEYS.fullmatch(key) else MASK
    return event


def explain_exceptions(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace ``exc_info`` by the error's class and frames, with its message only where it is one of ours."""
    found = event.pop("exc_info", None)
    if found is True:
        found = sys.exc_info()
    error = found[1] if isinstance(found, tuple) else found
    if isinstance(error, BaseException):
        kind = type(error)
        event["error_class"] = f"{kind.__module__}.{kind.__qualname__}"
        event["trace"] = _frames(error.__traceback__)
        if isinstance(error, EtlError):
            event.setdefault("error", str(error))
    return event


class _Routed(logging.Handler):
    """Hands the standard library's records to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        template = str(record.msg).partition("\n")[0]
        structlog.get_logger().log(record.levelno, template, logger=record.name, exc_info=record.exc_info)


def _serialize(event: dict[str, Any], **_: object) -> str:
    return orjson.dumps(event, option=orjson.OPT_UTC_Z).decode()


def _plain(value: object) -> object:
    match value:
        case None | bool() | int() | float() | datetime() | date():
            return value
        case str():
            return value[:_TEXT_LIMIT].encode(errors="replace").decode()
        case list() | tuple() | set() | frozenset():
            return [_plain(member) for member in value]
        case dict():
            return {str(k): _plain(v) if SAFE_KEYS.fullmatch(str(k)) else MASK for k, v in value.items()}
        case _:
            return f"<{type(value).__name__}>"


def _frames(trace: TracebackType | None) -> list[str]:
    frames: list[str] = []
    while trace is not None:
        frames.append(
            f"{trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno} {trace.tb_frame.f_code.co_qualname}"
        )
        trace = trace.tb_next
    return frames[-_FRAMES:]
