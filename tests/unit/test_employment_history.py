from __future__ import annotations

import csv
import hashlib
import io
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_core.errors import InvalidData, Transient, Unreachable
from etl_core.objects.memory import MemoryBuckets
from etl_core.testing.fake_clock import FakeClock
from pipeline_processing.model import Item, ItemResult
from pipeline_processing.processors.get_s3_files.employment_history import (
    CsvContent,
    EmploymentHistoryConfig,
    EmploymentHistoryProcessor,
    Export,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

VALUES = st.one_of(st.none(), st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20))


class Rows:
    """A history in memory; each fault is raised once, after the first row."""

    columns: Sequence[str] = ("row_id", "unit")

    def __init__(self, rows: Sequence[tuple[object, ...]], *faults: Exception) -> None:
        self.data, self.faults = rows, list(faults)

    async def rows(self, agency_id: str) -> AsyncGenerator[tuple[object, ...], None]:
        assert agency_id == "10"
        for number, row in enumerate(self.data):
            if number == 1 and self.faults:
                raise self.faults.pop(0)
            yield row


class World:
    def __init__(self, rows: Rows, **config: int) -> None:
        self.clock = FakeClock(auto_advance=True)
        self.buckets = MemoryBuckets(self.clock)
        self.destination = self.buckets.create("dst")
        settings = EmploymentHistoryConfig(**config)  # type: ignore[arg-type]  # tests only set the counts
        self.processor = EmploymentHistoryProcessor(settings, lambda: rows, self.buckets.store, self.clock)

    async def process(self, *, formula_safe: bool = False) -> ItemResult:
        export = Export("dst", "out", formula_safe)
        return await self.processor.process(Item("employment_history", "10", export.as_json()))

    async def text(self, result: ItemResult) -> str:
        return (await self.destination.get(result.outputs[0].key)).body.decode()


def text_of(content: CsvContent) -> str:
    content._file.seek(0)
    return content._file.read().decode()


async def test_a_history_becomes_a_csv_named_by_its_content() -> None:
    world = World(Rows([("1", "a, b"), ("2", None), ("3", 'say "x"\r\n')]))

    result = await world.process()
    text = await world.text(result)

    assert 'row_id,unit\r\n1,"a, b"\r\n2,\r\n3,"say ""x""\r\n"\r\n' == text
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert ("done", {"exported": 1}, {"rows": 3, "sha256": digest}) == (result.status, result.counts, result.details)
    assert f"out/10/employment_history/{digest[:32]}.csv" == result.outputs[0].key
    assert (f"SHA256:{digest}", len(text), "employment_history") == (
        result.outputs[0].checksum,
        result.outputs[0].size,
        result.outputs[0].role,
    )
    assert "text/csv; charset=utf-8" == (await world.destination.head(result.outputs[0].key)).content_type


async def test_the_same_rows_are_the_same_object_and_not_uploaded_again() -> None:
    world = World(Rows([("1", "a")]))

    first, second = await world.process(), await world.process()

    assert ("done", "skipped") == (first.status, second.status)
    assert first.outputs == second.outputs
    assert 1 == len([info async for info in world.destination.list()])


async def test_other_rows_do_not_overwrite_what_was_exported() -> None:
    rows = Rows([("1", "a")])
    world = World(rows)
    first = await world.process()
    rows.data = [("1", "b")]

    second = await world.process()

    assert first.outputs[0].key != second.outputs[0].key
    assert "row_id,unit\r\n1,a\r\n" == await world.text(first)


async def test_how_rows_are_batched_does_not_show_in_the_bytes() -> None:
    rows = [(str(number), f"unit {number}") for number in range(25)]

    results = [await World(Rows(rows), batch_rows=size).process() for size in (1, 7, 25, 1000)]

    assert 1 == len({result.outputs[0].key for result in results})


async def test_an_agency_without_rows_gets_no_file_and_says_so() -> None:
    world = World(Rows([]))

    result = await world.process()

    assert ("skipped", {"empty": 1}, ()) == (result.status, result.counts, result.outputs)
    assert [] == [info async for info in world.destination.list()]


async def test_a_connection_that_breaks_midway_costs_a_fresh_start_and_no_row() -> None:
    world = World(Rows([("1", "a"), ("2", "b")], Unreachable("gone")))

    assert "row_id,unit\r\n1,a\r\n2,b\r\n" == await world.text(await world.process())


async def test_a_database_that_stays_away_is_transient_and_leaves_nothing() -> None:
    world = World(Rows([("1", "a"), ("2", "b")], Unreachable("gone"), Unreachable("still gone")))

    with pytest.raises(Transient, match="still gone"):
        await world.process()
    assert [] == [info async for info in world.destination.list()]


async def test_a_row_that_does_not_cast_fails_at_once_and_for_ever() -> None:
    world = World(Rows([("1", "a"), ("2", "b")], InvalidData("SQLSTATE 22007")))

    with pytest.raises(InvalidData, match="22007"):
        await world.process()
    assert 0 == world.clock.monotonic()


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_formula_safe_texts_begin_with_an_apostrophe(start: str) -> None:
    with CsvContent(("x",), formula_safe=True) as content:
        content.append([(f"{start}1+1",), ("plain",), (-5,), (None,)])

        (_, *rows) = csv.reader(io.StringIO(text_of(content), newline=""))

    assert [[f"'{start}1+1"], ["plain"], ["-5"], [""]] == [row or [""] for row in rows]


def test_without_formula_safety_texts_are_exact() -> None:
    with CsvContent(("x", "y"), formula_safe=False) as content:
        content.append([("=1+1", "@x")])

        assert "x,y\r\n=1+1,@x\r\n" == text_of(content)


@given(st.lists(st.tuples(VALUES, VALUES), max_size=10))
def test_a_reader_of_rfc_4180_gets_back_every_value(rows: list[tuple[str | None, str | None]]) -> None:
    with CsvContent(("a", "b"), formula_safe=False) as content:
        content.append(rows)

        found = list(csv.reader(io.StringIO(text_of(content), newline=""), strict=True))

    assert [["a", "b"], *[[value or "" for value in row] for row in rows]] == found


async def test_a_payload_that_is_no_export_is_invalid() -> None:
    with pytest.raises(InvalidData, match="wrong: destination_bucket"):
        await World(Rows([])).processor.process(Item("employment_history", "10", {"formula_safe": False}))
