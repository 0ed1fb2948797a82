"""Named SQL in files beside the repositories, and a deployment's own files in their place."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from etl_core.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

_NAME: Final = re.compile(r"^--[ \t]*name:[ \t]*(\w+)[ \t]*$", re.MULTILINE)
_WAY_OUT: Final = "write it as the built-in one is: `-- name: <query>` lines, the same names, columns and parameters"


@dataclass(frozen=True, slots=True)
class Query:
    """One named query; ``columns`` are what it must return, ``where`` is how errors call it."""

    sql: str
    columns: tuple[str, ...]
    where: str


class QueryFile:
    """The queries of one file: the built-in one, or the one of the same name in ``queries_dir``."""

    def __init__(self, name: str, *, queries_dir: Path | None) -> None:
        source = (queries_dir or files(__package__)) / name
        self._where = str(source) if queries_dir else name
        try:
            text = source.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"no readable SQL file: {type(error).__name__}",
                where=f"PIPELINE_QUERIES_DIR: {self._where}",
                way_out=_WAY_OUT,
            ) from error
        parts = _NAME.split(text)
        self._queries = dict(zip(parts[1::2], (part.strip().rstrip(";") for part in parts[2::2]), strict=True))

    def query(self, name: str, columns: tuple[str, ...]) -> Query:
        """Return the query, or raise ConfigError with the names that the file has."""
        if not self._queries.get(name):
            raise ConfigError(
                f"no query {name}; it has {', '.join(self._queries) or 'none'}", where=self._where, way_out=_WAY_OUT
            )
        return Query(self._queries[name], columns, f"{self._where}: {name}")
