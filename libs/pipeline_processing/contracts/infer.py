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
_KEYED: Final = frozenset({"string", "integer"})
"""Types that a key may have: not an amount, a share, a date."""
TOTALS: Final = r"(?i)^\s*(grand\s+)?totals?\b"
"""What the first cell of a totals line is like."""
_TOLD: Final = 10
_LONGEST: Final = 40
"""Rare values that a comment tells of a column, and characters of one."""
_HEADER: Final = (
    "# A first contract, made from a sample: read it, mend it, and try it with `pipeline-processing validate`.\n"
)


def infer(batches: Iterable[pl.DataFrame], *, dataset: str, source_format: Mapping[str, Json] | None = None) -> str:
    """Return the YAML of a first contract for files like the one whose rows ``batches`` are, as String columns.

    Columns that begin with ``_`` are the reader's. No value of a column that seems personal is in it. A last row that
    looks like a total is left out, and the contract says so: only of a sample that was read to its end is it known.
    InvalidData for a sample without rows.
    """
    sample, has_totals = _sample(batches)
    table = _identifier(dataset) or "dataset"
    names = _names(sample.columns)
    guesses = {header: guess(name, sample[header]) for header, name in names.items()}
    key = _key(sample, names, guesses)
    properties = [
        _property(header, name, guesses[header], sample[header], is_key=header == key) for header, name in names.items()
    ]
    described: dict[str, Json] = {"name": table, "physicalType": "file", "properties": properties}
    form = {**(source_format or {}), **({"totals": TOTALS} if has_totals else {})}
    if form:
        described["customProperties"] = [{"property": "format", "value": form}]
    document = {
        "apiVersion": "v3.1.0",
        "kind": "DataContract",
        "id": table.replace("_", "-"),
        "version": "0.1.0",
        "status": "draft",
        "schema": [described],
    }
    comments = [_on_rare(name, guesses[header], sample[header]) for header, name in names.items()]
    if has_totals:
        comments.insert(0, "# The last row looks like a total: `format.totals` leaves such rows out.\n")
    return "".join((_HEADER, *comments, dump(document)))


def _on_rare(name: str, found: Guess, texts: pl.Series) -> str:
    """Return a comment on the values that are not among the allowed ones, for they are rare; none of a personal one."""
    if not found.rare or classification(name, texts):
        return ""
    told = ", ".join(f"{value[:_LONGEST]!r} ({rows})" for value, rows in found.rare[:_TOLD])
    more = f" and {len(found.rare) - _TOLD} more" if len(found.rare) > _TOLD else ""
    return f"# {name}: too rare to be listed as allowed (with their rows): {told}{more}\n"


def _sample(batches: Iterable[pl.DataFrame]) -> tuple[pl.DataFrame, bool]:
    """Return the sample without a totals line at its end, and whether there was one."""
    taken: list[pl.DataFrame] = []
    is_whole = True
    for batch in batches:
        taken.append(batch)
        if len(taken) == SAMPLE_BATCHES or sum(frame.height for frame in taken) >= SAMPLE_ROWS:
            is_whole = False
            break
    whole = pl.concat(taken, how="diagonal").head(SAMPLE_ROWS) if taken else pl.DataFrame()
    sample = whole.select(pl.col(name).cast(pl.String) for name in whole.columns if not name.startswith("_"))
    has_totals = is_whole and _is_total(sample)
    if whole.height <= has_totals:
        raise InvalidData("a contract can not be inferred from a sample without rows")
    return sample.head(sample.height - has_totals), has_totals


def _is_total(sample: pl.DataFrame) -> bool:
    last = sample.tail(1).rows()
    first = next((cell for cell in last[0] if cell and cell.strip()), "") if last else ""
    return re.match(TOTALS, first) is not None


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


def _key(sample: pl.DataFrame, names: Mapping[str, str], guesses: Mapping[str, Guess]) -> str | None:
    """Return the first column that tells all rows apart: one that is named like a key before the others.

    Not one that may be personal, nor an amount: that it tells rows apart is chance.
    """
    apart = [
        header
        for header in names
        if guesses[header].logical_type in _KEYED
        and classification(names[header], sample[header]) is None
        and sample[header].null_count() == 0
        and sample[header].n_unique() == sample.height > 1
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
