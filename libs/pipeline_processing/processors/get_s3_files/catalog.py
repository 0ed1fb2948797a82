"""`catalog.json`: which files of each agency are current. Its replacement is the one step that publishes a run.

An agency has two parts, ``attachments`` and ``employment_history``, each of the run that published it last: a run that
did not export histories says nothing about them, and an agency that a run found empty keeps what it had (an empty
listing proves nothing, law 11).

Whose part stands when two runs have one of the same agency: the one of the run that was *planned* later, whichever
publishes last, because a plan is what fixes what a run saw. A part that gave way is counted as superseded by the run
that brought it, so it does not vanish silently; its files stay under their content's names. Of one run the part with
more items done stands: items only ever become done, so a slow early gather can not undo what a redrive has mended.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import orjson

from etl_core.errors import ConfigError, NotFound, PreconditionFailed, ReplyLost, Transient
from etl_core.retry import Backoff
from pipeline_processing.model import canonical_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from etl_core.clock import Clock
    from etl_core.objects import Blob, ObjectStore
    from pipeline_processing.model import Json

    Parts = Mapping[str, Mapping[str, Json]]
    """Agency → part's name → part."""

VERSION: Final = 1
TRIES: Final = 20
BACKOFF: Final = Backoff(base=timedelta(milliseconds=100), cap=timedelta(seconds=2))
_CONTENT_TYPE: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Committed:
    """``changed`` is False when the catalog said all of it before; ``superseded`` counts parts that gave way."""

    changed: bool
    superseded: int


def merged(catalog: Parts, parts: Parts) -> tuple[dict[str, dict[str, Json]], int]:
    """Return ``catalog`` with those of ``parts`` that are not older than what it has, and how many were. Pure."""
    result = {agency: dict(those) for agency, those in catalog.items()}
    superseded = 0
    for agency, those in parts.items():
        there = result.setdefault(agency, {})
        for name, part in those.items():
            if name in there and _age(there[name]) > _age(part):
                superseded += 1
            else:
                there[name] = part
    return result, superseded


async def commit(store: ObjectStore, key: str, parts: Parts, *, clock: Clock, jitter: Callable[[], float]) -> Committed:
    """Merge ``parts`` into the catalog by compare-and-set; committing twice, or from two gathers, changes it once.

    A 412 or a lost reply is answered by reading back: the catalog that says all of it already is the proof. Raises
    ConfigError where ``key`` holds something else than a catalog.
    """
    fault: Exception | None = None
    for attempt in range(1, TRIES + 1):
        there = await _read(store, key)
        catalog = _parse(there, store.bucket, key)
        result, superseded = merged(catalog, parts)
        body = canonical_json({"v": VERSION, "agencies": result})
        if canonical_json(result) == canonical_json(catalog):
            return Committed(changed=isinstance(fault, ReplyLost), superseded=superseded)
        try:
            if there is None:
                await store.put_if_absent(key, body, content_type=_CONTENT_TYPE)
            else:
                await store.put_if_match(key, body, etag=there.info.etag, content_type=_CONTENT_TYPE)
        except (PreconditionFailed, NotFound, Transient) as error:
            fault = error
            await clock.sleep(BACKOFF.delay(attempt, jitter()))
        else:
            return Committed(changed=True, superseded=superseded)
    raise Transient(f"{store.bucket}/{key}: no quiet moment in {TRIES} tries") from fault


async def _read(store: ObjectStore, key: str) -> Blob | None:
    try:
        return await store.get(key)
    except NotFound:
        return None


def _parse(blob: Blob | None, bucket: str, key: str) -> Parts:
    if blob is None:
        return {}
    try:
        document = orjson.loads(blob.body)
        agencies: Parts = {VERSION: document["agencies"]}[document["v"]]
        for part in (part for those in agencies.values() for part in those.values()):
            _age(part)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"this is no catalog of version {VERSION}",
            where=f"{bucket}/{key}",
            way_out="move it away, or choose another --destination-prefix",
        ) from error
    return agencies


def _age(part: Mapping[str, Json]) -> tuple[datetime, str, int]:
    return datetime.fromisoformat(part["planned_at"]), part["run_id"], part["items_done"]
