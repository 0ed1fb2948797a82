"""Which jobs there are: the modules of this package, and what other distributions offer by entry point.

A job's module imports nothing heavy at its top: listing the jobs imports all of them.
"""

from __future__ import annotations

import difflib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Final, cast

from etl_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection

    from pipeline_processing.job import Job
    from pipeline_processing.model import Processor
    from pipeline_processing.service_handler import ServiceHandler

PACKAGE: Final = "pipeline_processing.jobs"
"""The package whose modules are jobs; the entry-point group of other distributions' jobs has the same name."""

Entrypoint = Callable[[Sequence[str]], int]


@dataclass(frozen=True, slots=True)
class JobEntry:
    """One job. ``source`` is its module; ``entrypoint`` takes the job's own arguments and returns an exit code."""

    name: str
    description: str
    entrypoint: Entrypoint
    source: str


@dataclass(frozen=True, slots=True)
class Registry:
    """The jobs by name, sorted, and one line for each module that should be a job and is not."""

    jobs: Mapping[str, JobEntry]
    faults: Sequence[str]

    def entry(self, name: str) -> JobEntry:
        """Return the job called ``name``, or raise ConfigError that says which name may have been meant."""
        entry = self.jobs.get(name)
        if entry is None:
            raise ConfigError(f"there is no job {name!r}", where="job", way_out=self._way_out(name))
        return entry

    def load(self, name: str) -> Job:
        """Return the job's definition, for the controller and the workers; ConfigError where there is none."""
        entry = self.entry(name)
        definition = getattr(import_module(entry.source), "definition", None)
        if not callable(definition):
            raise ConfigError(
                f"{name} has no definition() and can only run in its own process",
                where="job",
                way_out=f"use `pipeline-processing run {name}`, or give {entry.source} a `def definition() -> Job`",
            )
        return cast("Job", definition())

    def processors(
        self, services: ServiceHandler, *, without: Callable[[str, ConfigError], object] = lambda _name, _reason: None
    ) -> dict[str, Processor]:
        """Return the processors of every job by name; ConfigError where two jobs claim one.

        A job that only runs in its own process has none: ``without`` is told its name and the reason.
        """
        processors: dict[str, Processor] = {}
        for name in self.jobs:
            try:
                job = self.load(name)
            except ConfigError as reason:
                without(name, reason)
                continue
            for processor in job.processors(services):
                # Jobs may share a processor, as a backfill does with the job that it repeats.
                if processors.setdefault(processor.name, processor) is not processor:
                    raise ConfigError(
                        f"two jobs have a processor {processor.name}",
                        where=name,
                        way_out="give one of them another name",
                    )
        return processors

    def _way_out(self, name: str) -> str:
        for fault in self.faults:
            if fault.partition(":")[0].rpartition(".")[2] == name:
                return f"its module is faulty: {fault}"
        meant = difflib.get_close_matches(name.replace("-", "_"), self.jobs, n=1)
        return (
            f"did you mean {meant[0]}?" if meant else "`pipeline-processing jobs` lists them: " + ", ".join(self.jobs)
        )


def no_processor(name: str, known: Collection[str], *, where: str) -> ConfigError:
    """Return the error for a processor that there is not, with what may have been meant."""
    near = difflib.get_close_matches(name, known, n=1)
    way_out = f"did you mean {near[0]}?" if near else "one of " + ", ".join(sorted(known))
    return ConfigError(f"there is no processor {name!r}", where=where, way_out=way_out)


class _NotAJob(Exception):  # noqa: N818 - never leaves this module
    """Why a module is no job."""


def discover(package: str = PACKAGE, group: str = PACKAGE) -> Registry:
    """Import every job's module once; one that fails becomes a fault and hides no other."""
    jobs: dict[str, JobEntry] = {}
    faults: list[str] = []
    for name, module in [*_modules(package), *_offered(group)]:
        try:
            jobs[name] = _entry(name, module, jobs)
        except _NotAJob as fault:
            faults.append(f"{module}: {' '.join(str(fault).split())}")
    return Registry({name: jobs[name] for name in sorted(jobs)}, tuple(faults))


def _modules(package: str) -> list[tuple[str, str]]:
    names = (module.name for module in pkgutil.iter_modules(import_module(package).__path__))
    return [(name, f"{package}.{name}") for name in sorted(names) if not name.startswith("_") and name != "registry"]


def _offered(group: str) -> list[tuple[str, str]]:
    return sorted({(point.name, point.module) for point in metadata.entry_points(group=group)})


def _entry(name: str, source: str, taken: Mapping[str, JobEntry]) -> JobEntry:
    if name in taken:
        raise _NotAJob(f"the name {name} is taken by {taken[name].source}")
    try:
        module = import_module(source)
    except (Exception, SystemExit) as error:
        raise _NotAJob(f"it can not be imported: {type(error).__name__}: {error}") from error
    match getattr(module, "JOB", None):
        case None:
            raise _NotAJob("it has no JOB = (entrypoint, description)")
        case (entrypoint, str(description)) if callable(entrypoint) and description.strip():
            return JobEntry(name, description.strip(), cast("Entrypoint", entrypoint), source)
        case _:
            raise _NotAJob("its JOB is not (entrypoint, description): a callable and a text that is not empty")
