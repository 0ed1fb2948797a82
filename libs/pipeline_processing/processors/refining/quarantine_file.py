"""A file's quarantined rows: gathered on disk while it is refined, written as one Parquet file at the end."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from pipeline_processing.processors.refining.staging import Staging
from pipeline_processing.quarantine.schema import READER, SCHEMA, quarantine_id
from pipeline_processing.readers import LINE, ROW
from pipeline_processing.tables.stats import ROW_GROUP

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pipeline_processing.contracts.model import Contract
    from pipeline_processing.readers import Reject

_CELLS: Final = 1_000_000
"""Cells that are written as JSON at once: with its name, a cell of one letter takes twenty."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a file's rows come from, as lineage and quarantine name it."""

    source: str
    source_version: str
    agency_id: str


class QuarantineFile:
    """Takes rows and rejects; keeps them all, on disk."""

    def __init__(self, folder: Path, contract: Contract, origin: Origin) -> None:
        self._contract, self._origin = contract, origin
        self._staging = Staging(folder)
        self._is_protected = any(column.protection is not None for column in contract.columns)
        self.by_rule: Counter[str] = Counter()

    @property
    def rows(self) -> int:
        """Return how many rows and rejects there are."""
        return self._staging.rows

    def add_rows(self, raw: pl.DataFrame, rules: pl.Series) -> None:
        """Take rows as the reader gave them, protected columns tokenised, and the names of the rules each failed."""
        step = max(1, _CELLS // raw.width)
        for start in range(0, raw.height, step):
            self._add_some(raw.slice(start, step), rules.slice(start, step))

    def _add_some(self, raw: pl.DataFrame, rules: pl.Series) -> None:
        cells = pl.struct(pl.exclude(ROW, LINE)) if raw.width > len((ROW, LINE)) else pl.lit(None)
        texts = raw.select(cells.struct.json_encode().alias("raw"))["raw"]
        hashed = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
        self._add(
            raw[ROW],
            {
                "line": raw[LINE],
                "rules": rules,
                "reason": rules.list.join(", "),
                "raw": texts if self._contract.quarantine.keep_raw else None,
                "raw_bytes": None,
                "raw_sha256": hashed,
            },
        )

    def add_rejects(self, rejects: Sequence[Reject]) -> None:
        """Take records that are no rows. Nobody knows where a protected value stands in one, so its bytes then go."""
        if not rejects:
            return
        is_kept = self._contract.quarantine.keep_raw and not self._is_protected
        self._add(
            [reject.row for reject in rejects],
            {
                "line": [reject.line for reject in rejects],
                "rules": [[f"{READER}.{reject.reason.replace(' ', '_')}"] for reject in rejects],
                "reason": [f"{reject.reason}: {reject.detail}" for reject in rejects],
                "raw": None,
                "raw_bytes": [reject.raw for reject in rejects] if is_kept else None,
                "raw_sha256": [hashlib.sha256(reject.raw).hexdigest() for reject in rejects],
            },
        )

    def write(self, path: Path, footer: Mapping[str, str]) -> Path | None:
        """Write all rows, in the order they came, to ``path``; None where there are none."""
        if not self.rows:
            return None
        self._staging.scan().sink_parquet(
            path, compression="zstd", row_group_size=ROW_GROUP, metadata=dict(footer), engine="streaming"
        )
        return path

    def _add(self, rows: Sequence[int] | pl.Series, columns: Mapping[str, Any]) -> None:
        """Take rows with these numbers; what is no sequence stands in each of them."""
        origin, contract = self._origin, self._contract
        fixed = {
            "dataset": contract.dataset,
            "contract_version": contract.version,
            "contract_fingerprint": contract.fingerprint,
            "agency_id": origin.agency_id,
            "source_file": origin.source,
            "source_version": origin.source_version,
            "released_from": None,
        }
        ids = [quarantine_id(origin.source, origin.source_version, row) for row in rows]
        frame = pl.DataFrame({"quarantine_id": ids, "source_row": rows}).with_columns(
            pl.lit(values, SCHEMA[name]).alias(name)
            if values is None or isinstance(values, str)
            else pl.Series(name, values)
            for name, values in {**columns, **fixed}.items()
        )
        self.by_rule.update(frame["rules"].explode().to_list())
        self._staging.add(frame.select(pl.col(name).cast(dtype) for name, dtype in SCHEMA.items()))
