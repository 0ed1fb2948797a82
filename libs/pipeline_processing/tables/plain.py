"""Plain partitioned Parquet, for readers without a table format: one ``_manifest.json`` says which files there are.

The manifest is replaced by compare-and-set (law 4). Before that, what a commit does goes to a record of its own that
the manifest then names: the records, each naming the one before, are the table's history.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import orjson

from etl_core.errors import InvalidData, NotFound, PreconditionFailed, ReplyLost, Transient
from etl_core.objects.create import BACKOFF, TRIES, create_once
from pipeline_processing.tables import ABSENT, Commit, DataFile, Snapshot, TableSchema, in_order
from pipeline_processing.tables.applying import apply
from pipeline_processing.tables.schema import merged

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from datetime import timedelta

    from etl_core.clock import Clock
    from etl_core.objects import Blob, ObjectStore
    from pipeline_processing.model import Json
    from pipeline_processing.tables import Change, Committed, Edit

VERSION: Final = 1
MANIFEST: Final = "_manifest.json"
RECORDS: Final = "_commits/"
_BATCH: Final = 1000
"""Keys in one request to delete."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What `_manifest.json` says; ``etag`` is the object's, empty where there is none yet."""

    snapshot: Snapshot
    record: str = ""
    """Key, relative to the table's root, of the record of the commit that wrote this manifest."""
    etag: str = ""


class PlainTable:
    """One table of plain Parquet at ``root`` in the bucket of ``store``."""

    def __init__(
        self,
        store: ObjectStore,
        root: str,
        *,
        clock: Clock,
        jitter: Callable[[], float],
        nonce: Callable[[], str],
    ) -> None:
        self._store, self._root = store, f"{root.strip('/')}/"
        self._clock, self._jitter, self._nonce = clock, jitter, nonce
        self._key = self._root + MANIFEST

    @property
    def uri(self) -> str:
        """Return ``s3://bucket/root``."""
        return f"s3://{self._store.bucket}/{self._root.rstrip('/')}"

    @property
    def root(self) -> str:
        """Return the prefix of the table's keys in its bucket; it ends with a slash."""
        return self._root

    async def snapshot(self) -> Snapshot:
        """Return the table as it is now; version `ABSENT` where there is none."""
        return (await self.base())[0]

    async def base(self) -> tuple[Snapshot, Manifest]:
        """Return the table as it is now, and the manifest that says so."""
        try:
            manifest = self._decode(await self._store.get(self._key))
        except NotFound:
            manifest = Manifest(Snapshot())
        return manifest.snapshot, manifest

    async def commit(self, change: Change) -> Committed:
        """Apply ``change`` exactly once."""
        return await apply(self, change, where=self.uri, clock=self._clock, jitter=self._jitter)

    async def attempt(self, change: Change, edit: Edit, snapshot: Snapshot, base: Manifest) -> bool:
        """Commit ``edit`` as the successor of ``snapshot``; False where another commit came first."""
        version = snapshot.version + 1
        removed = {*edit.remove}
        files = {path: file for path, file in snapshot.files.items() if path not in removed}
        after = Snapshot(
            version,
            files | {file.path: file for file in edit.add},
            merged(snapshot.schema, change.schema, where=self.uri),
            {**snapshot.applied, change.app: change.version},
        )
        # Its own nonce is in the name: a commit that loses leaves a record that nothing names.
        record = f"{RECORDS}{version:020d}-{self._nonce()}.json"
        await self._store.put(self._root + record, self._record(change, edit, snapshot, base))
        return await self._swap(encode(after, record), base.etag)

    async def files(self) -> AsyncIterator[DataFile]:
        """Yield the live files; the manifest is one object, so that all of them are in memory at once."""
        for file in (await self.snapshot()).files.values():
            yield file

    async def history(self) -> AsyncIterator[Commit]:
        """Yield the commits, newest first, as far back as records are kept."""
        key = (await self.base())[1].record
        while key:
            try:
                document = orjson.loads((await self._store.get(self._root + key)).body)
            except NotFound:
                return
            yield _commit_of(document)
            key = document["before"]

    async def vacuum(self, *, older_than: timedelta, is_dry_run: bool, include_unknown: bool) -> Sequence[str]:
        """Delete files that no snapshot younger than ``older_than`` names."""
        limit = self._clock.now() - older_than
        live = {*(await self.snapshot()).files}
        removed: dict[str, datetime] = {}
        known: set[str] = set()
        async for commit in self.history():  # newest first: the first removal that is seen is the last one
            for file in commit.removed:
                removed.setdefault(file.path, commit.at)
            known |= {file.path for file in (*commit.added, *commit.removed)}
        found = []
        async for info in self._store.list(self._root):
            path = info.key.removeprefix(self._root)
            if path in live or path == MANIFEST or path.startswith(RECORDS):
                continue
            since = removed.get(path) or (info.modified if include_unknown and path not in known else None)
            if since is not None and since <= limit:
                found.append(path)
        if not is_dry_run:
            await self._delete(found)
        return found

    async def _delete(self, paths: list[str]) -> None:
        for start in range(0, len(paths), _BATCH):
            report = await self._store.delete([self._root + path for path in paths[start : start + _BATCH]])
            if report.failed:
                raise Transient(f"{self.uri}: {len(report.failed)} files could not be deleted")

    async def _swap(self, body: bytes, etag: str) -> bool:
        """Put ``body`` where the manifest with ``etag`` stands, and say whether it stands there now."""
        if not etag:
            return await create_once(
                self._store,
                self._key,
                body,
                is_own=lambda there: there == body,
                clock=self._clock,
                jitter=self._jitter,
            )
        fault: Exception | None = None
        for attempt in range(1, TRIES + 1):
            try:
                await self._store.put_if_match(self._key, body, etag=etag)
            except (PreconditionFailed, ReplyLost) as error:
                fault = error
                found = await self._store.get(self._key)
                if found.body == body:
                    return True
                # After a lost reply the old one may still stand because the write is under way: trying again tells.
                if found.info.etag != etag:
                    return False
            except Transient as error:
                fault = error
            else:
                return True
            await self._clock.sleep(BACKOFF.delay(attempt, self._jitter()))
        raise Transient(f"could not write {self._key} in {TRIES} tries: {fault}") from fault

    def _record(self, change: Change, edit: Edit, snapshot: Snapshot, base: Manifest) -> bytes:
        return orjson.dumps(
            {
                "v": VERSION,
                "version": snapshot.version + 1,
                "at": self._clock.now().astimezone(UTC).isoformat(),
                "app": change.app,
                "app_version": change.version,
                "is_first": change.app not in snapshot.applied,
                "note": dict(edit.note),
                "added": [_file_json(file) for file in edit.add],
                "retagged": edit.former_tags(snapshot.files),
                "removed": [_file_json(snapshot.files[path]) for path in edit.remove],
                "before": base.record,
            }
        )

    def _decode(self, found: Blob) -> Manifest:
        try:
            document = orjson.loads(found.body)
            if document["v"] != VERSION:
                raise InvalidData(f"s3://{self._store.bucket}/{self._key}: version {document['v']} of a manifest")
            schema = TableSchema(document["schema"]["columns"], tuple(document["schema"]["partition_by"]))
            read = (_file_of(file, schema.partition_by) for file in document["files"])
            files = {file.path: file for file in read}
            snapshot = Snapshot(document["version"], files, schema, document["applied"])
            return Manifest(snapshot, document["record"], found.info.etag)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidData(f"s3://{self._store.bucket}/{self._key}: not a table's manifest") from error


def encode(snapshot: Snapshot, record: str) -> bytes:
    """Return the manifest of ``snapshot``; ``record`` is unique to the commit, and with it the body is."""
    if snapshot.schema is None or snapshot.version == ABSENT:
        msg = "a manifest is of a table that exists"
        raise ValueError(msg)
    return orjson.dumps(
        {
            "v": VERSION,
            "version": snapshot.version,
            "record": record,
            "schema": asdict(snapshot.schema),
            "applied": dict(snapshot.applied),
            "files": [_file_json(file) for _, file in sorted(snapshot.files.items())],
        },
        option=orjson.OPT_INDENT_2,
    )


def _file_json(file: DataFile) -> Json:
    return {
        "path": file.path,
        "size": file.size,
        "rows": file.rows,
        "partition": dict(file.partition),
        "modified": file.modified.isoformat(),
        "stats": dict(file.stats) if file.stats is not None else None,
        "tags": dict(file.tags),
    }


def _file_of(document: Mapping[str, Json], partition_by: Sequence[str] = ()) -> DataFile:
    partition = in_order(document["partition"], partition_by)
    modified = datetime.fromisoformat(document["modified"])
    return DataFile(**{**document, "partition": partition, "modified": modified})


def _commit_of(document: Mapping[str, Json]) -> Commit:
    return Commit(
        version=document["version"],
        at=datetime.fromisoformat(document["at"]),
        app=document["app"],
        app_version=document["app_version"],
        is_first=document["is_first"],
        added=[_file_of(file) for file in document["added"]],
        removed=[_file_of(file) for file in document["removed"]],
        retagged=document["retagged"],
        note=document["note"],
    )
