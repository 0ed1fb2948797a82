"""Which of a run's files go into a table, and which of the table's go out for them. Pure.

A source has at most one set of live files: those of the run that was planned last, whichever publishes last. A run's
late items come in a second commit, and what the run has in the table already, compacted or not, is not added twice.
A *part* adds rows to what another run has published of a source, and lives as long as that does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence  # noqa: TC003 - dataclasses keep their annotations
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

import orjson

from etl_core.errors import ConfigError, InvalidData
from pipeline_processing.tables import DataFile, Edit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline_processing.tables import Snapshot

ROLLED_BACK: Final = "rollback:"
"""First part of what `rollback_app_of` gives."""
SUPERSEDED: Final = "superseded"
"""What a commit's note says of how many origins of the run gave way."""
HOLDS: Final = "holds"
"""Tag of a file that holds several origins, such as a compacted one: a JSON list of them with their rows."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where rows of a data file come from. ``planned_at`` is the run's, ISO 8601."""

    source: str
    """``s3://bucket/key``, as the column ``_source_file`` has it."""
    source_version: str
    contract: str
    contract_fingerprint: str
    code: str
    run: str
    item: str
    planned_at: str
    rows: int = 0
    """In this data file; zero where nothing of the source was left: the input is known all the same."""
    part: str = ""
    """Of rows that were released from quarantine: the release; else empty."""
    base: str = ""
    """The run that a part adds to: it is in the table only beside what that run published of the source."""

    @property
    def rank(self) -> tuple[datetime, str]:
        """Return what decides which of two runs stands: the later plan, and of two at once the later name."""
        return datetime.fromisoformat(self.planned_at), self.run

    @property
    def identity(self) -> tuple[str, str, str]:
        """Return what one attempt's rows of a source are known by, in whichever file they are."""
        return self.source, self.run, self.item


def tags_of(origins: Sequence[Origin]) -> dict[str, str]:
    """Return the tags of a file that holds ``origins``: plain ones for a single one, else `HOLDS`."""
    if len(origins) == 1:
        tags = {name: str(value) for name, value in asdict(origins[0]).items() if name != "rows"}
        return {name: value for name, value in tags.items() if value or name not in _OPTIONAL}
    return {HOLDS: orjson.dumps(list(origins)).decode()}


def origins_of(file: DataFile) -> tuple[Origin, ...]:
    """Return what the file holds; nothing for a file that this product did not publish. InvalidData for wrong tags."""
    try:
        if HOLDS in file.tags:
            return tuple(Origin(**origin) for origin in orjson.loads(file.tags[HOLDS]))
        if "source" in file.tags:
            return (Origin(**{name: file.tags[name] for name in _tags_in(file)}, rows=file.rows),)
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidData(f"{file.path}: its tags do not say where its rows come from") from error
    return ()


_TAGS: Final = tuple(name for name in Origin.__dataclass_fields__ if name != "rows")
_OPTIONAL: Final = frozenset({"part", "base"})


def _tags_in(file: DataFile) -> list[str]:
    return [name for name in _TAGS if name in file.tags or name not in _OPTIONAL]


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A live file that is to stand without the rows of some of its sources."""

    path: str
    sources: frozenset[str]


class RewritesNeeded(Exception):  # noqa: N818 - no fault: what must be written before the decision can be made
    """Raised out of a decision; `publishing` writes these files and decides again."""

    def __init__(self, rewrites: Sequence[Rewrite]) -> None:
        self.rewrites = tuple(rewrites)
        super().__init__(f"{len(self.rewrites)} files to rewrite")


@dataclass(frozen=True, slots=True)
class Decision:
    """What a publish does. A file given that is not in ``edit.add`` is in the table already, or superseded."""

    edit: Edit
    superseded: Sequence[Origin] = ()
    """What gives way to a run that was planned later and is in the table already; parts whose base is not there."""


def rollback_app_of(run: str) -> str:
    """Return the application by which a table knows that the run was taken back, or given up."""
    return f"{ROLLED_BACK}{run}"


def check_stands(snapshot: Snapshot, run: str) -> None:
    """ConfigError where the run was taken back out of the table, or given up: nothing of it is to come in again."""
    if (rolled := rollback_app_of(run)) in snapshot.applied:
        raise ConfigError(f"run {run} was rolled back", where=rolled, way_out="start a run with a new --run-id")


def decide(
    snapshot: Snapshot, files: Sequence[DataFile], *, run: str, rewritten: Mapping[Rewrite, DataFile]
) -> Decision:
    """Return what publishing the run's ``files`` does to ``snapshot``; each file holds origins of this run only.

    RewritesNeeded where a file of several sources loses some of them and ``rewritten`` does not have it without them
    yet. ConfigError where the run has been rolled back.
    """
    check_stands(snapshot, run)
    _check_files(files, run)
    live = {path: origins_of(file) for path, file in snapshot.files.items()}
    standing: dict[str, list[Origin]] = defaultdict(list)
    for origins in live.values():
        for origin in origins:
            standing[origin.source].append(origin)

    there = {origin.identity for origins in standing.values() for origin in origins}
    given = [(file, origins_of(file)[0]) for file in files]
    fresh = [(file, origin) for file, origin in given if origin.identity not in there]
    late = {file.path: origin for file, origin in fresh if not _may_stand(origin, standing[origin.source])}
    taken = [(file, origin) for file, origin in fresh if file.path not in late]

    going = {origin.source for _, origin in taken if not origin.part}
    remove, rewrites, replaced = _outgoing(live, going, run)
    if missing := [rewrite for rewrite in rewrites if rewrite not in rewritten]:
        raise RewritesNeeded(missing)
    add = [file for file, _ in taken]
    # A file with the same bytes and name may be live from an earlier run: it stays and gets this run's tags.
    staying = {file.path for file in add}
    superseded = _distinct(late.values())
    edit = Edit(
        add=[*add, *(rewritten[rewrite] for rewrite in rewrites)],
        remove=[path for path in remove if path not in staying],
        note={"run": run, "replaced": str(len(replaced)), SUPERSEDED: str(len(superseded))},
    )
    return Decision(edit, superseded)


def _may_stand(origin: Origin, standing: Sequence[Origin]) -> bool:
    """Say whether an origin may come in beside or instead of what stands of its source."""
    whole = [other for other in standing if not other.part]
    if origin.part:
        return bool(whole) and all(other.run == origin.base for other in whole)
    return all(other.rank <= origin.rank for other in whole)


def _outgoing(
    live: Mapping[str, Sequence[Origin]], going: set[str], run: str
) -> tuple[list[str], list[Rewrite], list[Origin]]:
    """Return the paths to remove, which of them stay in part, and the origins that go."""
    remove, rewrites, replaced = [], [], []
    for path, origins in live.items():
        out = [one for one in origins if one.source in going and run not in {one.run, one.base}]
        if not out:
            continue
        remove.append(path)
        replaced += out
        if len(out) < len(origins):
            rewrites.append(Rewrite(path, frozenset(origin.source for origin in out)))
    return remove, rewrites, replaced


def remaining(file: DataFile, sources: frozenset[str]) -> list[Origin]:
    """Return what the file holds without ``sources``."""
    return [origin for origin in origins_of(file) if origin.source not in sources]


def merged_origins(files: Iterable[DataFile]) -> list[Origin]:
    """Return what a file holds that has the rows of all of ``files``, each identity once with its rows together."""
    found: dict[tuple[str, str, str], Origin] = {}
    for file in files:
        for origin in origins_of(file):
            before = found.get(origin.identity)
            found[origin.identity] = replace(origin, rows=origin.rows + before.rows) if before else origin
    return [found[identity] for identity in sorted(found)]


def _check_files(files: Sequence[DataFile], run: str) -> None:
    for file in files:
        origins = origins_of(file)
        if len(origins) != 1 or origins[0].run != run:
            raise InvalidData(f"{file.path} is no file of run {run}: its tags name {len(origins)} origins")


def _distinct(origins: Iterable[Origin]) -> list[Origin]:
    return list({origin.identity: origin for origin in origins}.values())
