"""Any small file, cut into batches anywhere, against a plain account of what has to become of each row."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_processing.contracts.model import Check, Column, Contract, Dedupe
from pipeline_processing.processors.refining.refine import open_rows, refine
from pipeline_processing.readers import Batch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CONTRACT = Contract(
    id="any",
    version="1.0.0",
    dataset="any",
    fingerprint="00112233445566aa",
    columns=(
        Column("id", "integer"),
        Column("unit", "string", enum=("n", "s")),
        Column("day", "date"),
        Column("place", "string"),
    ),
    checks=(
        Check("id.type", "type", "id"),
        Check("unit.enum", "enum", "unit"),
        Check("day.type", "type", "day"),
        Check("place.unique", "unique", "place"),
    ),
    dedupe=Dedupe(("id", "unit"), (("day", True),)),
)
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["1", "2", "03", "", "x"]),
        st.sampled_from(["n", "s", "", "w"]),
        st.sampled_from(["2001-01-01", "2002-02-02", "", "never"]),
        st.sampled_from(["", "a", "b", "c", "d", "e", "f", "g"]),
    ).filter(any),  # readers leave blank records out
    min_size=1,
    max_size=40,
)


def account(rows: list[tuple[str, ...]]) -> dict[str, list[int]]:
    """What has to become of each row, by its number."""
    numbers = dict(enumerate(rows, start=1))
    bad = {n for n, (id_, unit, day, _) in numbers.items() if id_ == "x" or unit == "w" or day == "never"}
    best: dict[tuple[int | None, str], int] = {}
    for n in sorted(numbers.keys() - bad, key=lambda n: (_descending(numbers[n][2]), n)):
        id_, unit, *_ = numbers[n]
        best.setdefault((int(id_) if id_ else None, unit), n)
    kept = sorted(best.values())
    places = [numbers[n][3] for n in kept]
    again = {n for n in kept if numbers[n][3] and places.count(numbers[n][3]) > 1}
    return {
        "kept": [n for n in kept if n not in again],
        "quarantined": sorted(bad | again),
        "copies": sorted(numbers.keys() - bad - set(kept)),
    }


def _descending(day: str) -> int:
    return -date.fromisoformat(day).toordinal() if day else 1


def in_pieces(size: int) -> Callable[[Path, Contract], Any]:
    @contextmanager
    def opened(path: Path, contract: Contract) -> Iterator[Any]:
        with open_rows(path, contract) as rows:
            yield Pieces(rows, size)

    return opened


class Pieces:
    """A file's rows in batches of a few."""

    def __init__(self, rows: Any, size: int) -> None:  # noqa: ANN401 - whatever a reader gives
        self.rows, self.size = rows, size
        self.header, self.dialect, self.skipped = rows.header, rows.dialect, rows.skipped

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.rows:
            yield Batch(batch.frame.clear(), batch.rejects)
            for piece in batch.frame.iter_slices(self.size):
                yield Batch(piece)


@settings(max_examples=40, deadline=None)
@given(rows=ROWS, size=st.integers(1, 7))
def test_every_row_is_kept_quarantined_or_a_copy_as_a_plain_account_says(
    rows: list[tuple[str, ...]], size: int
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "any.csv"
        path.write_text("id,unit,day,place\n" + "".join(",".join(row) + "\n" for row in rows))
        result = refine(
            path,
            CONTRACT,
            into=folder / "out",
            source="s",
            source_version="1",
            agency_id="10",
            today=date(2026, 1, 1),
            footer={},
            opened=in_pieces(size),
        )
        written = [n for output in result.outputs for n in pl.read_parquet(output.path)["_source_row"]]
        quarantined = [] if result.quarantine is None else pl.read_parquet(result.quarantine)["source_row"].to_list()
        expected = account(rows)
        assert expected["kept"] == written
        assert expected["quarantined"] == sorted(quarantined)
        assert len(expected["copies"]) == result.deduplicated
