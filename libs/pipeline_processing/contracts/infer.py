"""A first contract from a sample: what its columns seem to be. It is to be read and mended, not to be trusted."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import polars as pl

from etl_core.errors import InvalidData
from pipeline_processing.contracts.document import dump
from pipeline_processing.contracts.guesses import classification, guess

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pipeline_processing.contracts.guesses import Guess
    from pipeline_processing.model import Json

SAMPLE_ROWS: Final = 100_000
SAMPLE_BATCHES: Final = 8
"""Batches looked at, whichever bound is met first: a batch is bounded in bytes, so the sample is."""
_KEY: Final = re.compile(r"(^|_)(id|key|no|num|number|code|badge|star|uuid)$")
_HEADER: Final = (
    "# A first contract, made from a sample: read it, mend it, and try it with `pipeline-processing validate`.\n"
)


def infer(batches: Iterable[pl.DataFrame], *, dataset: str, source_format: Mapping[str, Json] | None = None) -> str:
    """Return the YAML of a first contract for files like the one whose rows ``batches`` are, as String columns.

    Columns that begin with ``_`` are the reader's. No value of a column that seems personal is in it. InvalidData for a
    sample without rows.
    """
    sample = _sample(batches)
    table = _identifier(dataset) or "dataset"
    names = _names(sample.columns)
    guesses = {header: guess(name, sample[header]) for header, name in names.items()}
    key = _key(sample, names)
    properties = [
        _property(header, name, guesses[header], sample[header], is_key=header == key) for header, name in names.items()
    ]
    described: dict[str, Json] = {"name": table, "physicalType": "file", "properties": properties}
    if source_format:
        described["customProperties"] = [{"property": "format", "value": dict(source_format)}]
    document = {
        "apiVersion": "v3.1.0",
        "kind": "DataContract",
        "id": table.replace("_", "-"),
        "version": "0.1.0",
        "status": "draft",
        "schema": [described],
    }
    return _HEADER + dump(document)


def _sample(batches: Iterable[pl.DataFrame]) -> pl.DataFrame:
    taken: list[pl.DataFrame] = []
    for batch in batches:
        taken.append(batch)
        if len(taken) == SAMPLE_BATCHES or sum(frame.height for frame in taken) >= SAMPLE_ROWS:
            break
    if not any(frame.height for frame in taken):
        raise InvalidData("a contract can not be inferred from a sample without rows")
    whole = pl.concat(taken, how="diagonal").head(SAMPLE_ROWS)
    return whole.select(pl.col(name).cast(pl.String) for name in whole.columns if not name.startswith("_"))


def _identifier(text: str) -> str:
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text)
    name = re.sub(r"[^A-Za-z0-9]+", "_", spaced).strip("_").lower()
    return f"c_{name}" if name[:1].isdigit() else name[:100]


def _names(headers: Sequence[str]) -> dict[str, str]:
    """Return a name in snake case for each header, no two alike."""
    names: dict[str, str] = {}
    for number, header in enumerate(headers, 1):
        wanted = name = _identifier(header) or f"column_{number}"
        count = 1
        while name in names.values():
            count += 1
            name = f"{wanted}_{count}"
        names[header] = name
    return names


def _key(sample: pl.DataFrame, names: Mapping[str, str]) -> str | None:
    """Return the first column that tells all rows apart: one that is named like a key before the others."""
    apart = [
        header
        for header in names
        if sample[header].null_count() == 0 and sample[header].n_unique() == sample.height and sample.height > 1
    ]
    named = [header for header in apart if _KEY.search(names[header])]
    return next(iter(named or apart[:1]), None)


def _property(header: str, name: str, found: Guess, texts: pl.Series, *, is_key: bool) -> dict[str, Json]:
    told: dict[str, Json] = {"name": name}
    if found.remarks:
        told["description"] = "; ".join(found.remarks)
    kind = classification(name, texts)
    protect = kind == "restricted"
    told["logicalType"] = "string" if protect else found.logical_type
    if found.physical_type and not protect:
        told["physicalType"] = found.physical_type
    if is_key:
        told["primaryKey"] = True
    if texts.null_count() == 0:
        told["required"] = True
    if kind:
        told["classification"] = kind
    if found.values and not kind:
        valid = {"metric": "invalidValues", "arguments": {"validValues": list(found.values)}, "mustBe": 0}
        told["quality"] = [{**valid, "severity": "warning"}]
    custom = {
        "sources": [header] if header != name else None,
        "normalise": ["trim"] if protect else list(found.normalise),
        "protect": "tokenise" if protect else None,
    }
    given = [{"property": key, "value": value} for key, value in custom.items() if value]
    if given:
        told["customProperties"] = given
    return told
