"""Tables that a run's files are published to: what `delta` and `plain` both answer; they pass one contract suite.

A table changes by commits. A commit takes data files in and others out in one atomic step: a reader sees all of it or
none (law 5). The files themselves are written before, by others, under keys that never change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence  # noqa: TC003 - dataclasses keep their annotations
from dataclasses import dataclass, field
from datetime import datetime  # noqa: TC003 - the same
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import quote

from pipeline_processing.model import Json  # noqa: TC001 - the same

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import timedelta

ABSENT: Final = -1
"""The version of a table that has no commit yet."""


@dataclass(frozen=True, slots=True)
class DataFile:
    """One Parquet file of a table. ``path`` is its key relative to the table's root, as it is: nothing is escaped.

    The file has no partition columns in it; their values are in ``partition``, as texts (None = null), and its path
    begins with `partition_path` of them, because Polars and DuckDB read them from there. A table gives them in the
    order of its partition columns, however its log spells them.
    """

    path: str
    size: int
    rows: int
    partition: Mapping[str, str | None]
    modified: datetime
    stats: Mapping[str, Json] | None = None
    """``minValues``, ``maxValues``, ``nullCount`` by column, as Delta Lake names them; bounds need not be tight."""
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TableSchema:
    """Columns in order, partition columns included, each with its Delta Lake type; every column is nullable."""

    columns: Mapping[str, Json]
    partition_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The table as of one commit. ``applied`` maps each application to the last version of it that was committed."""

    version: int = ABSENT
    files: Mapping[str, DataFile] = field(default_factory=dict)
    """Live files by path."""
    schema: TableSchema | None = None
    applied: Mapping[str, int] = field(default_factory=dict)

    @property
    def partition_by(self) -> tuple[str, ...]:
        """Return the partition columns in their order; none where there is no table."""
        return self.schema.partition_by if self.schema else ()

    @property
    def exists(self) -> bool:
        """Say whether the table has been created."""
        return self.version > ABSENT


@dataclass(frozen=True, slots=True)
class Edit:
    """What one commit does to the files. ``note`` goes to the log, for people.

    ``remove`` names paths that must be live. An ``add`` of a path that is live already must be of the same file: it
    gives it new tags. With ``is_rewrite`` the same rows are in the table afterwards: readers of changes see none.
    """

    add: Sequence[DataFile] = ()
    remove: Sequence[str] = ()
    note: Mapping[str, str] = field(default_factory=dict)
    is_rewrite: bool = False

    def former_tags(self, live: Mapping[str, DataFile]) -> dict[str, dict[str, str]]:
        """Return, by path, the tags that those of the files ``live`` have which this gives new ones."""
        return {file.path: dict(live[file.path].tags) for file in self.add if file.path in live}


@dataclass(frozen=True, slots=True)
class Change:
    """A commit to be made once: ``version`` of ``app`` is applied if the table has no equal or later one of it.

    ``decide`` is pure; it is called again on each fresh snapshot after a lost race. None from it = nothing to commit,
    and then nothing is recorded either. ``schema`` creates the table, or adds its new columns to it.
    """

    app: str
    version: int
    decide: Callable[[Snapshot], Edit | None]
    schema: TableSchema | None = None


@dataclass(frozen=True, slots=True)
class Committed:
    """What became of a change. ``changed`` is False where it had been applied before, or there was nothing to do.

    ``version`` is then the table's, as it was found; ``edit`` is what this very call committed.
    """

    version: int
    changed: bool
    edit: Edit | None = None


@dataclass(frozen=True, slots=True)
class Commit:
    """One entry of a table's history. ``removed`` has the files as they were added once."""

    version: int
    at: datetime
    app: str | None
    """None for a commit that this product did not make."""
    app_version: int = 0
    is_first: bool = False
    """Whether the application had applied nothing before."""
    added: Sequence[DataFile] = ()
    removed: Sequence[DataFile] = ()
    retagged: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """The former tags of those files in ``added`` that were live already, by path."""
    note: Mapping[str, str] = field(default_factory=dict)


def partition_path(partition: Mapping[str, str | None], partition_by: Sequence[str]) -> str:
    """Return the folders of a partition, with a slash at the end: ``year=2030/agency=a%20b/``; empty without columns.

    Escaped as Hive does, so that a value with a slash in it is one folder.
    """
    return "".join(f"{quote(name, safe='')}={_folder(partition[name])}/" for name in partition_by)


def in_order(partition: Mapping[str, str | None], partition_by: Sequence[str]) -> dict[str, str | None]:
    """Return the values in the order of the partition columns; deltalake's checkpoints keep none."""
    return {name: partition[name] for name in partition_by if name in partition} | dict(partition)


NULL_FOLDER: Final = "__HIVE_DEFAULT_PARTITION__"
"""Hive's name for null: no value may be called so, for readers would take it for null."""


def _folder(value: str | None) -> str:
    # Hive's name for null; an empty text is null to Delta Lake.
    return quote(value, safe="") if value else NULL_FOLDER


class Table(Protocol):
    """One table. All calls raise the errors of `etl_core.errors`."""

    @property
    def uri(self) -> str:
        """Return ``s3://bucket/root``."""
        ...

    @property
    def root(self) -> str:
        """Return the prefix of the table's keys in its bucket; it ends with a slash."""
        ...

    async def snapshot(self) -> Snapshot:
        """Return the table as it is now; version `ABSENT` where there is none."""
        ...

    def files(self) -> AsyncIterator[DataFile]:
        """Yield the live files of one version, in no order, without holding all of them where the format allows."""
        ...

    async def commit(self, change: Change) -> Committed:
        """Apply ``change`` exactly once, whoever else commits meanwhile.

        Transient where other commits keep coming first; ConfigError where the schema does not fit the table's.
        """
        ...

    def history(self) -> AsyncIterator[Commit]:
        """Yield the commits, newest first, as far back as the log reaches."""
        ...

    async def vacuum(self, *, older_than: timedelta, is_dry_run: bool, include_unknown: bool) -> Sequence[str]:
        """Delete files that no snapshot younger than ``older_than`` names, and return their paths.

        With ``is_dry_run`` they are told only.
        ``include_unknown``: also files that no commit ever named. A run whose files wait longer than that for their
        publish loses them.
        """
        ...
