from __future__ import annotations

from dataclasses import replace

import pytest

from etl_core.errors import ConfigError, InvalidData
from pipeline_processing.tables import DataFile, Snapshot
from pipeline_processing.tables.publication import (
    HOLDS,
    Decision,
    Origin,
    Rewrite,
    RewritesNeeded,
    decide,
    merged_origins,
    origins_of,
    remaining,
    tags_of,
)
from tables_world import AT, origin


def file(path: str, *origins: Origin, rows: int = 1) -> DataFile:
    return DataFile(path, 10, sum(one.rows for one in origins) or rows, {}, AT, tags=tags_of(origins))


def table(*files: DataFile, **applied: int) -> Snapshot:
    return Snapshot(3, {one.path: one for one in files}, None, applied)


def decided(snapshot: Snapshot, *files: DataFile, run: str = "r2") -> Decision:
    return decide(snapshot, files, run=run, rewritten={})


def paths(decision: Decision) -> tuple[list[str], list[str]]:
    return [one.path for one in decision.edit.add], list(decision.edit.remove)


OLD, NEW, LATER = origin("a", run="r1", day=1), origin("a", run="r2", day=2), origin("a", run="r3", day=3)


def test_tags_say_where_the_rows_are_from_and_are_read_back() -> None:
    assert {"source": "s3://in/a", "run": "r1", "item": "i-a"}.items() <= tags_of([OLD]).items()
    assert (replace(OLD, rows=1),) == origins_of(file("f", OLD))
    two = [replace(OLD, rows=2), replace(origin("b"), rows=0)]
    assert {HOLDS} == {*tags_of(two)}
    assert tuple(two) == origins_of(file("f", *two))


def test_a_file_that_others_wrote_has_no_origin_and_is_left_alone() -> None:
    foreign = DataFile("theirs", 1, 1, {}, AT)
    assert () == origins_of(foreign)
    assert (["new"], []) == paths(decided(table(foreign), file("new", NEW)))


@pytest.mark.parametrize("tags", [{"source": "s3://in/a"}, {HOLDS: "["}, {HOLDS: '[{"source": 1}]'}, {HOLDS: "7"}])
def test_tags_that_do_not_say_it_are_an_error_and_not_nothing(tags: dict[str, str]) -> None:
    with pytest.raises(InvalidData, match="its tags do not say where its rows come from"):
        origins_of(DataFile("f", 1, 1, {}, AT, tags=tags))


def test_a_new_source_is_added() -> None:
    decision = decided(table(file("other", origin("b"))), file("new", NEW))
    assert (["new"], [], []) == (*paths(decision), list(decision.superseded))


def test_all_files_of_a_source_give_way_to_a_run_that_was_planned_later() -> None:
    decision = decided(table(file("o1", OLD), file("o2", replace(OLD, item="i2"))), file("n", NEW))
    assert (["n"], ["o1", "o2"]) == paths(decision)
    assert "2" == decision.edit.note["replaced"]


def test_an_older_run_that_publishes_later_gives_way_and_is_counted() -> None:
    decision = decided(table(file("l", LATER)), file("n", NEW), file("b", origin("b", run="r2", day=2)))
    assert (["b"], []) == paths(decision)
    assert ["s3://in/a"] == [one.source for one in decision.superseded]
    assert "1" == decision.edit.note["superseded"]


def test_times_of_plans_compare_as_times_whatever_their_zone() -> None:
    live = replace(OLD, planned_at="2030-01-01T12:00:00+00:00")
    earlier = replace(NEW, planned_at="2030-01-01T13:00:00+02:00")
    assert ([], []) == paths(decided(table(file("o", live)), file("n", earlier)))


def test_of_two_runs_planned_at_once_the_same_one_stands_whichever_publishes_last() -> None:
    one, other = replace(OLD, run="r1"), replace(OLD, run="r2")
    assert (["n"], ["o"]) == paths(decided(table(file("o", one)), file("n", other), run="r2"))
    assert ([], []) == paths(decided(table(file("o", other)), file("n", one), run="r1"))


def test_late_items_are_added_and_those_of_before_are_not_added_twice() -> None:
    first, late = file("n", NEW), file("late", origin("b", run="r2", day=2))
    decision = decided(table(first), first, late)
    assert (["late"], [], []) == (*paths(decision), list(decision.superseded))


def test_a_late_item_of_a_source_stands_beside_the_runs_other_items_of_it() -> None:
    first, late = file("n1", NEW), file("n2", replace(NEW, item="i2"))
    decision = decided(table(first, file("o", replace(OLD, item="i3"))), first, late)
    assert (["n2"], ["o"], []) == (*paths(decision), list(decision.superseded))


def test_what_stands_beside_a_later_run_is_repeated_and_not_superseded() -> None:
    decision = decided(table(file("n", NEW), file("l", replace(LATER, item="i3"))), file("n", NEW))
    assert ([], [], []) == (*paths(decision), list(decision.superseded))


def test_what_was_compacted_meanwhile_is_not_added_twice() -> None:
    compacted = file("c", replace(NEW, rows=1), replace(origin("x"), rows=1))
    decision = decided(table(compacted), file("n", NEW), file("late", origin("b", run="r2", day=2)))
    assert (["late"], [], []) == (*paths(decision), list(decision.superseded))


def test_a_compacted_file_that_loses_a_source_is_asked_for_without_it() -> None:
    compacted = file("c", replace(OLD, rows=3), replace(origin("x"), rows=4))
    with pytest.raises(RewritesNeeded) as needed:
        decided(table(compacted), file("n", NEW))
    (rewrite,) = needed.value.rewrites
    assert Rewrite("c", frozenset({"s3://in/a"})) == rewrite
    assert ["s3://in/x"] == [one.source for one in remaining(compacted, rewrite.sources)]
    written = file("c2", replace(origin("x"), rows=4))
    decision = decide(table(compacted), [file("n", NEW)], run="r2", rewritten={rewrite: written})
    assert (["n", "c2"], ["c"]) == paths(decision)


def test_a_compacted_file_of_which_nothing_stays_is_just_removed() -> None:
    compacted = file("c", replace(OLD, rows=3), replace(origin("b"), rows=4))
    decision = decided(table(compacted), file("n", NEW), file("m", origin("b", run="r2", day=2)))
    assert (["n", "m"], ["c"]) == paths(decision)


def test_a_file_without_rows_is_recorded_and_replaces_what_was_there() -> None:
    decision = decided(table(file("o", OLD)), file("n", NEW, rows=0))
    assert (["n"], ["o"]) == paths(decision)


def test_the_same_bytes_under_the_same_name_stay_and_get_the_new_run() -> None:
    decision = decided(table(file("same", OLD)), file("same", NEW))
    assert (["same"], []) == paths(decision)


def test_files_of_another_run_are_refused() -> None:
    with pytest.raises(InvalidData, match="is no file of run r2"):
        decided(table(), file("o", OLD))


def test_a_run_that_was_rolled_back_does_not_come_back() -> None:
    with pytest.raises(ConfigError, match="run r2 was rolled back"):
        decided(table(**{"rollback:r2": 1}), file("n", NEW))


def test_a_merged_file_holds_each_origin_once_with_its_rows_together() -> None:
    merged = merged_origins([file("1", replace(OLD, rows=2)), file("2", OLD), file("3", origin("b"), rows=0)])
    assert [("s3://in/a", 3), ("s3://in/b", 0)] == [(one.source, one.rows) for one in merged]
