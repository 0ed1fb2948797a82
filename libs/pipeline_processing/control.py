"""The control bucket's records of every run under one prefix, with what writing them needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from etl_core.errors import ConfigError
from pipeline_processing.conservation import Conserver
from pipeline_processing.manifest import Manifest, Manifests
from pipeline_processing.records import Records
from pipeline_processing.runs import Runs

if TYPE_CHECKING:
    from collections.abc import Callable

    from etl_core.clock import Clock
    from etl_core.objects import ObjectStore
    from pipeline_processing.evidence import Evidence
    from pipeline_processing.layout import RunLayout
    from pipeline_processing.markers import Markers
    from pipeline_processing.runs import Run


@dataclass(frozen=True, slots=True)
class Control:
    """Makes each run's parts; cheap, makes no connection.

    ``nonce`` returns a new unique text a call, ``jitter`` a number in [0, 1).
    """

    store: ObjectStore
    prefix: str
    clock: Clock
    jitter: Callable[[], float]
    nonce: Callable[[], str]

    @property
    def runs(self) -> Runs:
        """Return the run records."""
        return Runs(self.store, self.prefix, self.clock, jitter=self.jitter, nonce=self.nonce)

    @property
    def records(self) -> Records:
        """Return where an executor finds any run's markers and evidence."""
        return Records(self.store, self.prefix, self.clock, self.jitter)

    def layout(self, run_id: str) -> RunLayout:
        """Return the run's keys; ConfigError for an id that can not be one."""
        return self.runs.layout(run_id)

    def markers(self, run_id: str) -> Markers:
        """Return the run's markers."""
        return self.records.markers(run_id)

    def evidence(self, run_id: str) -> Evidence:
        """Return the run's failure records and dossiers."""
        return self.records.evidence(run_id)

    def manifests(self, run_id: str) -> Manifests:
        """Return the reader and writer of the run's manifest."""
        return Manifests(self.store, self.layout(run_id), self.clock, jitter=self.jitter, nonce=self.nonce)

    async def manifest(self, run: Run) -> Manifest:
        """Return the run's manifest; ConfigError where it is not planned yet, or is not the one that was planned."""
        address = f"s3://{self.store.bucket}/{self.layout(run.run_id).manifest}"
        manifest = await self.manifests(run.run_id).load()
        if run.manifest_sha256 is None:
            raise ConfigError(
                f"run {run.run_id} is not planned yet",
                where=run.state,
                way_out="plan it first: `controller plan`, or `controller run` for all steps",
            )
        if manifest is None or manifest.sha256 != run.manifest_sha256:
            raise ConfigError(
                f"the manifest {'is gone' if manifest is None else 'was altered after the plan'}",
                where=address,
                way_out="restore the object, or cancel this run and start another with a new --run-id",
            )
        return manifest

    def conserver(self, run_id: str, manifest: Manifest) -> Conserver:
        """Return the reader of what became of the run's items."""
        return Conserver(self.manifests(run_id), manifest, self.markers(run_id), self.evidence(run_id))
