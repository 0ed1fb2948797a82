"""What a quarantined row looks like, in the file that a worker writes and in the table that people work on."""

from __future__ import annotations

import hashlib
from typing import Final

import polars as pl

SCHEMA: Final = pl.Schema(
    {
        "quarantine_id": pl.String(),
        "dataset": pl.String(),
        "contract_version": pl.String(),
        "contract_fingerprint": pl.String(),
        "agency_id": pl.String(),
        "source_file": pl.String(),
        "source_version": pl.String(),
        "source_row": pl.Int64(),
        "line": pl.Int64(),
        "rules": pl.List(pl.String()),
        "reason": pl.String(),
        "raw": pl.String(),
        "raw_bytes": pl.Binary(),
        "raw_sha256": pl.String(),
        "released_from": pl.String(),
    }
)
"""One row for each row or record of a source that did not pass.

``rules`` are the names of all checks that it failed, or `READER` and the reader's reason. ``raw`` is the row as the
reader gave it, a JSON object by header name, protected columns tokenised; ``raw_bytes`` is a record that is no row, and
null where a column of the contract is protected. ``raw_sha256`` (hex) is of whichever of the two there would be.
``released_from`` is the quarantine_id under which an injected row stood before.
"""
READER: Final = "reader"
"""First part of the rule's name for a record that is no row: ``reader.ragged``."""


def quarantine_id(source: str, source_version: str, row: int) -> str:
    """Return the id of a source's row: the same for every contract and run, so that it is quarantined once."""
    identity = "\0".join((source, source_version, str(row)))
    return hashlib.blake2b(identity.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
