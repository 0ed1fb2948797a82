"""One entry of Delta Lake's log: written and read as the protocol spells it. Pure.

Protocol: https://github.com/delta-io/delta/blob/master/PROTOCOL.md (readers 1 and 3, writers 2 and 7).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

import orjson

from etl_core.errors import ConfigError, InvalidData
from pipeline_processing.model import Json  # noqa: TC001 - dataclasses keep their annotations
from pipeline_processing.tables import Commit, DataFile, TableSchema, in_order
from pipeline_processing.tables.schema import from_json, has_naive_timestamps, to_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline_processing.tables import Change, Edit

FOLDER: Final = "_delta_log/"
ENTRY: Final = re.compile(r"([0-9]{20})\.json")
CHECKPOINT: Final = re.compile(r"([0-9]{20})\.checkpoint\.parquet")
ENGINE: Final = "pipeline-processing"

_NAIVE: Final = "timestampNtz"
_READABLE: Final = frozenset({_NAIVE})
_WRITABLE: Final = frozenset({_NAIVE, "appendOnly", "invariants"})
_UNRESERVED: Final = "/=!'()*~-_.:@$&+,;"


def key_of(version: int) -> str:
    """Return the key of a version's entry, relative to the table's root."""
    return f"{FOLDER}{version:020d}.json"


@dataclass(slots=True)
class State:
    """What a replay of the log has come to. ``apply`` changes it in place; `copy` before, to keep the one before."""

    version: int = -1
    files: dict[str, DataFile] = field(default_factory=dict)
    applied: dict[str, int] = field(default_factory=dict)
    metadata: Json = None
    protocol: Json = None

    def copy(self) -> State:
        """Return a state that changes by itself."""
        return State(self.version, dict(self.files), dict(self.applied), self.metadata, self.protocol)

    @property
    def schema(self) -> TableSchema | None:
        """Return the table's columns; None before its first entry."""
        if self.metadata is None:
            return None
        return from_json(orjson.loads(self.metadata["schemaString"]), partition_columns(self.metadata))

    def apply(self, actions: Sequence[Json]) -> None:
        """Take the actions of one entry, or some of a checkpoint's, in."""
        for action in actions:
            if metadata := action.get("metaData"):
                self._describe(metadata)
            if removed := action.get("remove"):
                self.files.pop(unquote(removed["path"]), None)
        for action in actions:
            if added := action.get("add"):
                file = file_of(added, partition_columns(self.metadata))
                self.files[file.path] = file
            elif txn := action.get("txn"):
                self.applied[txn["appId"]] = txn["version"]
            elif protocol := action.get("protocol"):
                self.protocol = protocol

    def _describe(self, metadata: Json) -> None:
        before, self.metadata = partition_columns(self.metadata), metadata
        if (by := partition_columns(metadata)) != before:  # a checkpoint may name files before it says of what table
            self.files = {
                path: replace(file, partition=in_order(file.partition, by)) for path, file in self.files.items()
            }

    def check(self, where: str) -> None:
        """ConfigError where the table uses what this code would read or write wrongly."""
        protocol = self.protocol or {}
        features = {*(protocol.get("readerFeatures") or ()), *(protocol.get("writerFeatures") or ())}
        strange = sorted(features - _WRITABLE)
        is_known = protocol.get("minReaderVersion") in {1, 3} and protocol.get("minWriterVersion") in {1, 2, 7}
        if strange or not is_known or (self.metadata or {}).get("configuration", {}).get("delta.appendOnly") == "true":
            what = ", ".join(strange) or f"readers {protocol.get('minReaderVersion')}, appendOnly"
            raise ConfigError(
                f"another writer has given the table features that this product does not write: {what}",
                where=where,
                way_out="publish to a table of another name",
            )


def partition_columns(metadata: Json) -> tuple[str, ...]:
    """Return the partition columns, in their order, that a table's ``metaData`` names; None names none."""
    return tuple((metadata or {}).get("partitionColumns") or ())


def parse(body: bytes, *, key: str) -> list[Json]:
    """Return the actions of an entry; InvalidData naming ``key`` where it is none."""
    try:
        return [orjson.loads(line) for line in body.splitlines() if line.strip()]
    except ValueError as error:
        raise InvalidData(f"{key}: not an entry of a table's log") from error


def encode(change: Change, edit: Edit, *, state: State, schema: TableSchema, nonce: str, now: datetime) -> bytes:
    """Return the entry that takes ``state`` one version further; ``nonce`` makes it this very writer's (law 4)."""
    return b"".join(
        orjson.dumps(action) + b"\n"
        for action in _actions(change, edit, state=state, schema=schema, nonce=nonce, now=now)
    )


def _actions(
    change: Change, edit: Edit, *, state: State, schema: TableSchema, nonce: str, now: datetime
) -> Iterator[Json]:
    at = _milliseconds(now)
    yield {
        "commitInfo": {
            "timestamp": at,
            "operation": "OPTIMIZE" if edit.is_rewrite else "WRITE",
            "operationParameters": {"mode": "Append"},
            "isBlindAppend": False,
            "engineInfo": ENGINE,
            "app": change.app,
            "appVersion": change.version,
            "isFirst": change.app not in state.applied,
            "nonce": nonce,
            "retagged": edit.former_tags(state.files),
            "note": dict(edit.note),
        }
    }
    has_feature = _NAIVE in ((state.protocol or {}).get("readerFeatures") or ())
    if state.protocol is None or (has_naive_timestamps(schema) and not has_feature):
        yield {"protocol": _protocol(schema)}
    if schema != state.schema:
        yield {"metaData": _metadata(schema, state.metadata, nonce, at)}
    yield {"txn": {"appId": change.app, "version": change.version, "lastUpdated": at}}
    for path in edit.remove:
        file = state.files[path]
        yield {
            "remove": {
                **_written(file),
                "deletionTimestamp": at,
                "dataChange": not edit.is_rewrite,
                "extendedFileMetadata": True,
            }
        }
    for file in edit.add:
        yield {
            "add": {
                **_written(file),
                "modificationTime": _milliseconds(file.modified),
                "dataChange": not edit.is_rewrite,
            }
        }


def _written(file: DataFile) -> Json:
    return {
        "path": quote(file.path, safe=_UNRESERVED),
        "partitionValues": dict(file.partition),
        "size": file.size,
        "stats": orjson.dumps({"numRecords": file.rows, **(file.stats or {})}).decode(),
        "tags": dict(file.tags),
    }


def file_of(action: Json, partition_by: Sequence[str] = ()) -> DataFile:
    """Return the file that an ``add`` or ``remove`` names, its partition's values in the order of ``partition_by``."""
    stats = orjson.loads(action.get("stats") or "{}")
    rows = stats.pop("numRecords", 0)
    return DataFile(
        path=unquote(action["path"]),
        size=action.get("size") or 0,
        rows=rows,
        partition=in_order(action.get("partitionValues") or {}, partition_by),
        modified=_time(action.get("modificationTime") or action.get("deletionTimestamp") or 0),
        stats=stats or None,
        tags=action.get("tags") or {},
    )


def commit_of(version: int, actions: Sequence[Json]) -> Commit:
    """Return the entry ``version`` as a commit of the table's history."""
    info: Json = next((action["commitInfo"] for action in actions if action.get("commitInfo")), {})
    is_ours = info.get("engineInfo") == ENGINE
    return Commit(
        version=version,
        at=_time(info.get("timestamp") or 0),
        app=info["app"] if is_ours else None,
        app_version=info["appVersion"] if is_ours else 0,
        is_first=is_ours and info["isFirst"],
        added=[file_of(action["add"]) for action in actions if action.get("add")],
        removed=[file_of(action["remove"]) for action in actions if action.get("remove")],
        retagged=info["retagged"] if is_ours else {},
        note=info["note"] if is_ours else {},
    )


def _protocol(schema: TableSchema) -> Json:
    if has_naive_timestamps(schema):
        features = {"readerFeatures": sorted(_READABLE), "writerFeatures": sorted(_WRITABLE)}
        return {"minReaderVersion": 3, "minWriterVersion": 7, **features}
    return {"minReaderVersion": 1, "minWriterVersion": 2}


def _metadata(schema: TableSchema, stands: Json, nonce: str, at: int) -> Json:
    fresh = {"id": nonce, "format": {"provider": "parquet", "options": {}}, "configuration": {}, "createdTime": at}
    return {
        **(stands or fresh),
        "schemaString": orjson.dumps(to_json(schema)).decode(),
        "partitionColumns": list(schema.partition_by),
    }


def _milliseconds(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
