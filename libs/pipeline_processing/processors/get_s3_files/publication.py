"""Makes what a run left visible: a manifest an agency, then the catalog, in one atomic step for all agencies."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from pipeline_processing.model import Published, canonical_json
from pipeline_processing.problems import Problems
from pipeline_processing.processors.get_s3_files import catalog, employment_history, file_manifest, s3_files
from pipeline_processing.processors.get_s3_files.destination import catalog_key
from pipeline_processing.processors.get_s3_files.file_manifest import ManifestRows

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from etl_core.clock import Clock
    from etl_core.objects import ObjectStore
    from pipeline_processing.model import Gathered, Json, Output


_NEVER: Final = "1970-01-01T00:00:00+00:00"


class Publication:
    """One run's publish; memory grows with the number of agencies, not of attachments.

    Without a ``planned_at`` the run counts as planned when its first item was done; where none was, as the oldest.
    """

    def __init__(
        self,
        run_id: str,
        objects: ObjectStore,
        prefix: str,
        clock: Clock,
        *,
        jitter: Callable[[], float],
        planned_at: str | None,
    ) -> None:
        self._run_id, self._planned_at, self._first_done = run_id, planned_at, ""
        self._objects, self._prefix, self._clock, self._jitter = objects, prefix, clock, jitter
        self._items_done: Counter[str] = Counter()
        self._agencies: set[str] = set()
        self._histories: dict[str, tuple[Output, Json]] = {}
        self._problems = Problems()

    async def publish(self, results: AsyncIterator[Gathered]) -> Published:
        """Write the manifests and commit. A run with neither attachments nor rows changes nothing and says so."""
        with ManifestRows() as rows:
            async for gathered in results:
                self._take(gathered, rows)
            parts: dict[str, dict[str, Json]] = {}
            outputs: list[Output] = []
            counts: Counter[str] = Counter()
            for agency_id, lines in rows.agencies():
                manifest = await file_manifest.write(agency_id, lines, self._objects, self._prefix)
                parts[agency_id] = {"attachments": self._attachments(manifest)}
                outputs += manifest.outputs
                counts += manifest.counts
        for agency_id, (output, rows_exported) in self._histories.items():
            parts.setdefault(agency_id, {})["employment_history"] = self._history(output, rows_exported)
            outputs.append(output)
            counts["employment_rows"] += rows_exported
        empty = self._agencies - parts.keys()
        told = {**counts, "agencies": len(self._agencies), "empty_agencies": len(empty)}
        return await self._commit(parts, tuple(outputs), told)

    def _take(self, gathered: Gathered, rows: ManifestRows) -> None:
        item, marker = gathered.item, gathered.marker
        self._agencies.add(item.agency_id)
        if marker is not None:
            self._first_done = min(self._first_done or marker.finished_at, marker.finished_at)
        if item.processor == s3_files.NAME:
            rows.add(gathered)
            for problem in s3_files.problems_of(gathered):
                self._problems.add(problem)
            self._items_done[item.agency_id] += marker is not None
        elif item.processor == employment_history.NAME and marker is not None and marker.result.outputs:
            self._histories[item.agency_id] = (marker.result.outputs[0], marker.result.details["rows"])

    def _run(self) -> dict[str, Json]:
        return {"run_id": self._run_id, "planned_at": self._planned_at or self._first_done or _NEVER}

    def _attachments(self, manifest: file_manifest.AgencyManifest) -> Json:
        return self._run() | {
            "items_done": self._items_done[manifest.agency_id],
            "rows": manifest.rows,
            "counts": dict(manifest.counts),
            "files": [_file(output) for output in manifest.outputs],
        }

    def _history(self, output: Output, rows: Json) -> Json:
        return self._run() | {"items_done": 1, "rows": rows, "files": [_file(output)]}

    async def _commit(
        self, parts: dict[str, dict[str, Json]], outputs: tuple[Output, ...], counts: dict[str, int]
    ) -> Published:
        if not parts:
            return Published("nothing to publish", changed=False, counts=counts)
        key = catalog_key(self._prefix)
        committed = await catalog.commit(self._objects, key, parts, clock=self._clock, jitter=self._jitter)
        digest = hashlib.sha256(canonical_json(parts)).hexdigest()[:12]
        return Published(
            f"s3://{self._objects.bucket}/{key}#{digest}",
            committed.changed,
            outputs,
            counts | {"superseded": committed.superseded},
            self._problems.first(),
        )


def _file(output: Output) -> Json:
    fields = asdict(output)
    return {name: fields[name] for name in ("key", "size", "checksum")}
