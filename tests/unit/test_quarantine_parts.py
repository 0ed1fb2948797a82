"""The rule for parts: released rows stand beside what they were taken from, and go with it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from etl_core.clock import SystemClock
from etl_core.errors import ConfigError
from etl_core.objects.memory import MemoryBuckets
from pipeline_processing.tables import DataFile, Snapshot
from pipeline_processing.tables.delta import DeltaTable
from pipeline_processing.tables.ledger import published
from pipeline_processing.tables.publication import Decision, Origin, decide, origins_of, tags_of
from pipeline_processing.tables.rollback import Effect, undo
from tables_world import AT, adding, numbers, origin

MAIN = origin("a", run="r1", day=1)
PART = replace(origin("a", run="rel-1", day=2), item="i-rel", part="rel-1", base="r1")
NEXT = origin("a", run="r2", day=3)


def file(path: str, *origins: Origin) -> DataFile:
    return DataFile(path, 10, sum(one.rows for one in origins) or 1, {}, AT, tags=tags_of(origins))


def table(*files: DataFile) -> Snapshot:
    return Snapshot(3, {one.path: one for one in files})


def paths(decision: Decision) -> tuple[list[str], list[str]]:
    return [one.path for one in decision.edit.add], list(decision.edit.remove)


def test_a_part_is_told_by_its_tags_and_what_is_no_part_has_none_of_them() -> None:
    assert {"part": "rel-1", "base": "r1"}.items() <= tags_of([PART]).items()
    assert (replace(PART, rows=1),) == origins_of(file("p", PART))
    assert {"part", "base"}.isdisjoint(tags_of([MAIN]))


def test_a_part_comes_in_beside_what_it_adds_to() -> None:
    decision = decide(table(file("m", MAIN)), [file("p", PART)], run="rel-1", rewritten={})
    assert (["p"], []) == paths(decision)


def test_a_part_comes_in_beside_other_parts() -> None:
    other = replace(PART, run="rel-2", item="i-2", part="rel-2")
    decision = decide(table(file("m", MAIN), file("p", PART)), [file("o", other)], run="rel-2", rewritten={})
    assert (["o"], []) == paths(decision)


def test_a_part_that_is_there_already_is_not_added_twice_even_compacted() -> None:
    compacted = file("c", replace(MAIN, rows=5), replace(PART, rows=2))
    decision = decide(table(compacted), [file("p", PART)], run="rel-1", rewritten={})
    assert ([], [], []) == (*paths(decision), list(decision.superseded))


def test_a_part_gives_way_where_its_source_was_published_anew() -> None:
    decision = decide(table(file("n", NEXT)), [file("p", PART)], run="rel-1", rewritten={})
    assert ([], [], [PART.item]) == (*paths(decision), [one.item for one in decision.superseded])
    assert ["s3://in/a"] == [one.source for one in decision.superseded]


def test_a_part_of_a_source_that_is_not_published_does_not_come_in() -> None:
    decision = decide(table(file("b", origin("b"))), [file("p", PART)], run="rel-1", rewritten={})
    assert ([], [], [PART.item]) == (*paths(decision), [one.item for one in decision.superseded])


def test_a_new_run_of_the_source_takes_the_parts_out_with_what_they_add_to() -> None:
    decision = decide(table(file("m", MAIN), file("p", PART)), [file("n", NEXT)], run="r2", rewritten={})
    assert (["n"], ["m", "p"]) == paths(decision)


def test_a_run_planned_before_a_release_still_replaces_what_the_release_added_to() -> None:
    late_part = replace(PART, planned_at="2030-01-09T00:00:00+00:00")
    decision = decide(table(file("m", MAIN), file("p", late_part)), [file("n", NEXT)], run="r2", rewritten={})
    assert (["n"], ["m", "p"]) == paths(decision)


def test_late_items_of_a_run_leave_the_parts_of_its_other_sources_alone() -> None:
    late = origin("b", run="r1", day=1)
    decision = decide(
        table(file("m", MAIN), file("p", PART)), [file("m", MAIN), file("l", late)], run="r1", rewritten={}
    )
    assert (["l"], []) == paths(decision)


async def test_the_ledger_knows_a_source_by_what_its_parts_add_to_and_counts_their_rows() -> None:
    store = MemoryBuckets(SystemClock()).store("silver")
    delta = DeltaTable(store, "t", clock=SystemClock(), jitter=lambda: 0.5, nonce=numbers())
    part = DataFile("_agency_id=a1/p", 10, 2, {"_agency_id": "a1"}, AT, tags=tags_of([replace(PART, contract="9.9.9")]))
    main = DataFile("_agency_id=a1/m", 10, 7, {"_agency_id": "a1"}, AT, tags=tags_of([MAIN]))
    await delta.commit(adding(main, part))
    with await published(delta) as ledger:
        ((source, record),) = list(ledger)
    assert ("s3://in/a", "r1", "1.0.0", 7 + 2) == (source, record.run, record.contract, record.rows)


def test_a_run_that_released_rows_add_to_is_not_rolled_back_before_them() -> None:
    effect = Effect("r1", 1, added={"m": file("m", MAIN)})
    with pytest.raises(ConfigError, match=r"rows were released from quarantine since \(rel-1\)"):
        undo(effect, table(file("m", MAIN), file("p", PART)), where="s3://silver/t")
    released = Effect("rel-1", 1, added={"p": file("p", PART)})
    assert ["p"] == list(undo(released, table(file("m", MAIN), file("p", PART)), where="s3://silver/t").remove)
    assert ["m"] == list(undo(effect, table(file("m", MAIN)), where="s3://silver/t").remove)


def test_a_release_that_was_compacted_with_the_rest_of_its_file_is_not_torn_out_with_it() -> None:
    compacted = file("c", replace(MAIN, rows=5), replace(PART, rows=2))
    effect = Effect("rel-1", 1, added={"p": file("p", PART)}, taken_by={"p": "optimize"})
    with pytest.raises(ConfigError, match="1 of its files are gone from the table, compacted by optimize"):
        undo(effect, table(compacted), where="s3://silver/t", rewritten={})
