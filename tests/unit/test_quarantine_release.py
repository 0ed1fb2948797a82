"""The whole loop on memory stores: quarantined, mended, released, once, whoever dies on the way."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest

from etl_core.errors import ConfigError
from faulty_store import Killed
from pipeline_processing.contracts.load import load
from pipeline_processing.jobs.backfill import Backfill
from pipeline_processing.processors.backfill.takeback import take_back
from pipeline_processing.processors.release.plan import open_book
from pipeline_processing.processors.silver.care import merge_small
from pipeline_processing.quarantine import editing
from pipeline_processing.quarantine.book import Filter
from pipeline_processing.quarantine.claims import give_up
from quarantine_world import FILE, MENDED, PROTECTED, SHIFTED, Deaths, QuarantineWorld
from silver_world import CONTRACT, DIRTY, PEOPLE

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
async def world(tmp_path: Path) -> QuarantineWorld:
    return await QuarantineWorld.after_run(tmp_path)


async def exported(world: QuarantineWorld, name: str = "mend.csv", contract: str = CONTRACT) -> Path:
    path = world.folder / name
    editing.export(await world.book(), path, contract=load(contract))
    return path


def mended(path: Path, *changes: tuple[str, str]) -> Path:
    text = path.read_text(encoding="utf-8-sig")
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    path.write_text(text, encoding="utf-8")
    return path


async def test_a_changed_contract_releases_what_passes_by_it_and_the_rest_stays(world: QuarantineWorld) -> None:
    assert 3 == await world.release("rel-1", contract=MENDED)
    assert {2: "open", 3: "open", 4: "released"} == await world.states()
    assert [1, 4] == await world.published()
    report = await world.report("rel-1")
    assert {"released": 1, "still_quarantined": 2} == report["outcomes"]


async def test_released_rows_keep_their_lineage(world: QuarantineWorld) -> None:
    await world.release("rel-1", contract=MENDED)
    (row,) = (await world.rows()).filter(pl.col("_source_row") == 4).to_dicts()
    main = (await world.rows()).filter(pl.col("_source_row") == 1).to_dicts()[-1]
    assert (FILE, "20", 5, None) == (row["_source_file"], row["_agency_id"], row["id"], row["hired"])
    assert main["_source_version"] == row["_source_version"]


async def test_rows_mended_by_hand_are_released_records_that_were_no_rows_too(world: QuarantineWorld) -> None:
    path = mended(await exported(world), (",x,Dee", ",8,Dee"), (',,,,"4,Eve"', ',4,Eve,2005-02-03,"4,Eve"'))
    assert 3 == await world.release("rel-1", "--edited", str(path))
    assert {2: "released", 3: "released", 4: "open"} == await world.states()
    rows = (await world.rows()).filter(pl.col("_source_row").is_in([2, 3]) & (pl.col("_agency_id") == "20"))
    assert [(8, "Dee"), (4, "Eve")] == rows.sort("_source_row").select("id", "name").rows()


@pytest.mark.parametrize("name", ["mend.csv", "mend.parquet"])
async def test_an_export_that_nobody_edited_releases_nothing_different(world: QuarantineWorld, name: str) -> None:
    path = await exported(world, name)
    before = await world.rows()
    assert 3 == await world.release("rel-1", "--edited", str(path))
    assert {2: "open", 3: "open", 4: "open"} == await world.states()
    assert before.equals(await world.rows())


async def test_an_edited_file_releases_no_row_that_is_not_in_it(world: QuarantineWorld) -> None:
    lines = (await exported(world)).read_text(encoding="utf-8-sig").splitlines()
    path = world.folder / "one.csv"
    path.write_text("\n".join([lines[0], *(line for line in lines if ",never," in line)]) + "\n")
    assert 0 == await world.release("rel-1", "--edited", str(mended(path, ("never", "2004-01-01"))))
    assert {2: "open", 3: "open", 4: "released"} == await world.states()


async def test_a_row_that_fails_again_is_told_by_its_new_rules_and_as_it_was_sent(world: QuarantineWorld) -> None:
    path = mended(await exported(world), (",x,Dee,2004-02-03", ",7,Dee,soon"))
    await world.release("rel-1", "--edited", str(path))
    (row,) = (await world.book()).filter(pl.col("source_row") == 2).to_dicts()
    assert (["hired.type"], '{"id":"x","name":"Dee","hired":"2004-02-03"}') == (row["rules"], row["raw"])
    again = mended(path, ("soon", "2004-02-03"))
    await world.release("rel-2", "--edited", str(again))
    assert "released" == (await world.states())[2]


async def test_a_row_leaves_quarantine_once(world: QuarantineWorld) -> None:
    await world.release("rel-1", "--rule", "hired.type", contract=MENDED)
    with pytest.raises(ConfigError, match="no row that is meant is open: 1 released"):
        await world.release("rel-2", "--rule", "hired.type")
    assert [1, 4] == await world.published()


async def test_of_two_releases_at_once_one_has_the_rows_and_the_other_is_told_which_were_taken(
    world: QuarantineWorld,
) -> None:
    with pytest.raises(Killed):  # it has planned and worked, and dies as it begins to publish
        await world.release("slow", contract=MENDED, deaths=await last_before(world, "people__decisions/_delta_log"))
    assert 3 == await world.release("fast")
    assert 3 == await world.release("slow")
    assert [1, 4] == await world.published()
    report = await world.report("slow")
    (problem,) = [one for one in report["problems"] if one["status"] == "taken"]
    (taken,) = (await world.book()).filter(pl.col("state") == "released")["quarantine_id"]
    assert f"1 of its rows were taken by release fast: {taken}" == problem["reason"]
    assert ["fast"] == (await world.rows("decisions"))["release_id"].to_list()


async def last_before(world: QuarantineWorld, part: str) -> Deaths:
    """Return what dies before the first write whose key has ``part`` in it."""

    class Death(Deaths):
        def __call__(self, number: int, key: str) -> None:
            if part in key:
                raise Killed

    return Death()


async def test_a_release_that_dies_between_any_two_writes_loses_no_row_and_doubles_none(tmp_path: Path) -> None:
    whole = Deaths()
    calm = await QuarantineWorld.after_run(tmp_path / "calm")
    await calm.release("rel-1", contract=MENDED, deaths=whole)
    expected = (await calm.rows()).sort("id")
    assert whole.writes > 10
    seen: set[str] = set()
    for at in range(1, whole.writes + 1):
        world = await QuarantineWorld.after_run(tmp_path / f"{at}")
        with pytest.raises(Killed):
            await world.release("rel-1", contract=MENDED, deaths=Deaths(at))
        state, published = (await world.states())[4], (await world.published()).count(4)
        assert (state == "released") == (published == 1), at
        seen.add(state)
        assert 3 == await world.release("rel-1", contract=MENDED)
        assert {2: "open", 3: "open", 4: "released"} == await world.states(), at
        assert expected.equals((await world.rows()).sort("id")), at
        assert 1 == (await world.rows("decisions")).height, at
    assert {"open", "interrupted", "released"} == seen


async def test_what_an_interrupted_release_has_taken_nobody_else_takes_until_it_is_given_up(
    world: QuarantineWorld,
) -> None:
    with pytest.raises(Killed):
        await world.release("rel-1", contract=MENDED, deaths=await last_before(world, "people/_delta_log"))
    assert "interrupted" == (await world.states())[4]
    with pytest.raises(ConfigError, match="1 interrupted"):
        await world.release("rel-2", "--rule", "hired.type")

    async with world.handler() as services:
        assert await give_up(services.table(world.destination), "rel-1")
        assert not await give_up(services.table(world.destination), "rel-1")
    assert "open" == (await world.states())[4]
    assert 0 == await world.release("rel-2", "--rule", "hired.type")
    with pytest.raises(ConfigError, match="rel-1 was rolled back"):
        await world.release("rel-1")
    assert [1, 4] == await world.published()


async def test_a_release_that_was_given_up_commits_nothing_to_quarantine_either(world: QuarantineWorld) -> None:
    strict = MENDED.replace("required: true", "required: true\n        logicalTypeOptions: {minimum: 9}", 1)
    with pytest.raises(Killed):
        await world.release("rel-1", contract=strict, deaths=await last_before(world, "people__quarantine/_delta_log"))
    tables = [world.handler().table(world.destination, which) for which in ("", "quarantine", "decisions")]
    before = [(await table.snapshot()).version for table in tables]
    async with world.handler() as services:
        await give_up(services.table(world.destination), "rel-1")
    with pytest.raises(ConfigError, match="rel-1 was rolled back"):
        await world.release("rel-1")
    assert [before[0] + 1, *before[1:]] == [(await table.snapshot()).version for table in tables]


async def test_a_release_that_published_can_not_be_given_up(world: QuarantineWorld) -> None:
    await world.release("rel-1", contract=MENDED)
    async with world.handler() as services:
        with pytest.raises(ConfigError, match="rows of release rel-1 are published"):
            await give_up(services.table(world.destination), "rel-1")


async def test_a_release_that_is_rolled_back_opens_its_rows_again(world: QuarantineWorld) -> None:
    await world.release("rel-1", contract=MENDED)
    async with world.handler() as services:
        with pytest.raises(ConfigError, match="rows were released from quarantine since"):
            await take_back("r1", world.destination, services, is_dry_run=False)
        await take_back("rel-1", world.destination, services, is_dry_run=False)
    assert {2: "open", 3: "open", 4: "open"} == await world.states()
    assert [1] == await world.published()
    assert 3 == await world.release("rel-2")
    assert [1, 4] == await world.published()


async def test_a_run_that_is_rolled_back_gives_back_the_released_rows_that_it_replaced(world: QuarantineWorld) -> None:
    await world.release("rel-1", contract=MENDED)
    world.contract.write_text(CONTRACT)
    await world.run("r2", "--force")
    assert {2: "open", 3: "open", 4: "open"} == await world.states()
    async with world.handler() as services:
        await take_back("r2", world.destination, services, is_dry_run=False)
    assert {2: "open", 3: "open", 4: "released"} == await world.states()
    assert [1, 4] == await world.published()


async def test_small_files_are_merged_and_released_rows_stay_what_they_are(world: QuarantineWorld) -> None:
    await world.release("rel-1", "--rule", "hired.type", contract=MENDED)
    optional = CONTRACT.replace("        required: true\n", "", 1)
    await world.release("rel-2", "--rule", "id.type", contract=optional)  # which leaves one of its two rules
    world.contract.write_text(CONTRACT)
    async with world.handler() as services:
        await merge_small(world.destination, services, target=10_000_000, is_dry_run=False)
    assert {2: "open", 3: "open", 4: "released"} == await world.states()
    (row,) = (await world.book()).filter(pl.col("source_row") == 2).to_dicts()
    assert (["id.type"], "open") == (row["rules"], row["state"])
    assert [1, 4] == await world.published()
    await world.run("r2", "--force")
    assert [1] == await world.published()


async def test_a_run_that_reads_the_file_anew_replaces_released_rows_and_opens_what_it_rejects(
    world: QuarantineWorld,
) -> None:
    await world.release("rel-1", contract=MENDED)
    assert [1, 4] == await world.published()
    world.contract.write_text(CONTRACT)
    assert 0 == await world.run("r2", "--force")
    assert [1] == await world.published()
    assert {2: "open", 3: "open", 4: "open"} == await world.states()
    await world.release("rel-2", contract=MENDED)
    assert [1, 4] == await world.published()


async def test_rows_mended_by_hand_are_mended_again_when_the_same_version_is_read_anew(world: QuarantineWorld) -> None:
    path = mended(await exported(world), (",x,Dee", ",8,Dee"), (',,,,"4,Eve"', ',4,Eve,2005-02-03,"4,Eve"'))
    await world.release("rel-1", "--edited", str(path))
    assert 0 == await world.run("r2", "--force")
    assert [1, 2, 3] == await world.published()
    assert {4: "open"} == await world.states()
    assert 0 == await world.run("r3", "--force")
    names = (await world.rows()).filter(pl.col("_source_file") == FILE).sort("_source_row")
    assert [(3, "Cid"), (8, "Dee"), (4, "Eve")] == names.select("id", "name").rows()


async def test_a_backfills_preview_knows_what_was_mended_and_waived(world: QuarantineWorld) -> None:
    path = mended(await exported(world), (",x,Dee", ",8,Dee"))
    await world.release("rel-1", "--edited", str(path_of_row(path, 2)))
    await world.release("rel-2", "--waive", "hired.type", "--expires", "2031-01-01")
    async with world.handler() as services:
        job = Backfill(services.settings)
        spec = job.parse(["--contract", str(world.contract), "--agency-id", "20", "--force"])
        (trial,) = (await job.preview(spec, services, sample=1)).trials
    assert trial.difference is not None
    found = trial.difference
    assert (3, 3, 1) == (found.before, found.after, trial.quarantined)
    assert (0, 0, 0) == (found.added, found.gone, found.changed)


async def test_a_mended_row_that_fails_a_later_contract_is_mended_further_from_there(world: QuarantineWorld) -> None:
    path = mended(await exported(world), (",x,Dee,2004-02-03", ",8,Dee,2005-05-05"))
    await world.release("rel-1", "--edited", str(path_of_row(path, 2)))
    strict = CONTRACT.replace("logicalType: integer", "logicalType: integer\n        logicalTypeOptions: {minimum: 10}")
    world.contract.write_text(strict.replace("        required: true\n", "", 1))
    await world.run("r2", "--force")
    (row,) = (await world.book(Filter(agencies=("20",)))).filter(pl.col("source_row") == 2).to_dicts()
    assert (["id.range"], '{"id":"8","name":"Dee","hired":"2005-05-05"}') == (row["rules"], row["raw"])
    path = path_of_row(mended(await exported(world, "2.csv"), (",8,Dee", ",88,Dee")), 2)
    assert 0 == await world.release("rel-2", "--edited", str(path))
    (released,) = (await world.rows()).filter(pl.col("_source_row") == 2, pl.col("_agency_id") == "20").to_dicts()
    assert (88, "2005-05-05") == (released["id"], released["hired"].isoformat())
    world.contract.write_text(CONTRACT)
    await world.run("r3", "--force")
    (again,) = (await world.rows()).filter(pl.col("_source_row") == 2, pl.col("_agency_id") == "20").to_dicts()
    assert (88, "2005-05-05") == (again["id"], again["hired"].isoformat())


async def test_what_was_mended_in_one_version_of_a_file_is_not_done_to_the_next(world: QuarantineWorld) -> None:
    path = mended(await exported(world), (",x,Dee", ",8,Dee"))
    await world.release("rel-1", "--edited", str(path))
    await world.bronze("20/people.csv", DIRTY + "6,Gil,2001-01-01\n")
    await world.run("r2")
    assert [1, 5] == await world.published()
    assert {2: "open", 3: "open", 4: "open"} == await world.states()


async def test_a_run_by_the_mended_contract_has_the_row_once(world: QuarantineWorld) -> None:
    await world.release("rel-1", contract=MENDED)
    assert 0 == await world.run("r2", "--force")
    assert [1, 4] == await world.published()
    assert {2: "open", 3: "open"} == await world.states()


async def test_rows_of_a_file_that_was_published_anew_meanwhile_do_not_come_in(world: QuarantineWorld) -> None:
    with pytest.raises(Killed):
        await world.release("rel-1", contract=MENDED, deaths=await last_before(world, "people__decisions/_delta_log"))
    await world.bronze("20/people.csv", DIRTY.replace("never", "2005-01-01"))
    assert 0 == await world.run("r2")
    assert 3 == await world.release("rel-1")
    assert [1, 4] == await world.published()
    report = await world.report("rel-1")
    assert "superseded" in {one["status"] for one in report["problems"]}
    assert {2: "open", 3: "open"} == await world.states()


async def test_a_clean_version_of_the_file_empties_its_quarantine(world: QuarantineWorld) -> None:
    await world.bronze("20/people.csv", PEOPLE)
    assert 0 == await world.run("r2")
    assert {} == await world.states()


async def test_a_waiver_publishes_rows_that_fail_its_rule_and_holds_for_later_versions(world: QuarantineWorld) -> None:
    waiver = ("--rule", "hired.type", "--waive", "hired.type", "--expires", "2030-06-01")
    assert 0 == await world.release("waiver", *waiver)
    assert {2: "open", 3: "open", 4: "waived"} == await world.states()
    await world.bronze("20/people.csv", DIRTY + "6,Gil,soon\n")
    assert 0 == await world.run("r2")
    assert [1, 4, 5] == await world.published()
    await world.bronze("30/people.csv", DIRTY)
    await world.run("r3")
    assert 3 == (await world.book(Filter(agencies=("30",)))).filter(pl.col("state") == "open").height


async def test_a_waiver_ends_with_its_last_day(world: QuarantineWorld) -> None:
    await world.release("waiver", "--waive", "hired.type", "--expires", "2030-01-01")
    await world.clock.sleep(timedelta(days=1))
    await world.bronze("20/people.csv", DIRTY + "6,Gil,2001-01-01\n")
    await world.run("r2")
    assert [1, 5] == await world.published()
    with pytest.raises(ConfigError, match="2030-01-01 is over"):
        await world.release("late", "--waive", "hired.type", "--expires", "2030-01-01")


async def test_a_key_that_a_published_row_of_the_file_has_is_not_given_out_again(world: QuarantineWorld) -> None:
    path = mended(await exported(world), (",x,Dee", ",3,Dee"), (",5,Fay,never", ",5,Fay,2001-01-01"))
    assert 3 == await world.release("rel-1", "--edited", str(path))
    assert {2: "open", 3: "open", 4: "released"} == await world.states()
    (row,) = (await world.book()).filter(pl.col("source_row") == 2).to_dicts()
    assert ["id.unique", "primary_key"] == row["rules"]
    assert [1, 4] == await world.published()
    waived = ("--waive", "id.unique", "--waive", "primary_key", "--expires", "2031-01-01")
    await world.release("rel-2", "--edited", str(path_of_row(path, 2)), *waived)
    assert "waived" == (await world.states())[2]


def path_of_row(path: Path, number: int) -> Path:
    """Leave only that row of the file in an edited export."""
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    path.write_text("\n".join([lines[0], *(line for line in lines if f"{FILE},{number}," in line)]) + "\n")
    return path


async def test_of_rows_with_one_dedupe_key_the_published_one_stays(tmp_path: Path) -> None:
    keyed = CONTRACT.replace("        unique: true\n        primaryKey: true\n        primaryKeyPosition: 1\n", "")
    dedupe = "    customProperties:\n      - property: dedupe\n        value: {key: [id]}\n    properties:\n"
    world = await QuarantineWorld.after_run(tmp_path, keyed.replace("    properties:\n", dedupe))
    path = mended(await exported(world), (",x,Dee", ",3,Dee"))
    assert 3 == await world.release("rel-1", "--edited", str(path_of_row(path, 2)))
    assert ["dedupe"] == (await world.book()).filter(pl.col("source_row") == 2)["rules"].to_list()[0]
    assert 0 == await world.release("rel-2", "--edited", str(path), "--waive", "dedupe", "--expires", "2031-01-01")
    assert [1, 2] == await world.published()


async def test_a_file_that_is_gone_is_released_from_what_quarantine_has_kept(world: QuarantineWorld) -> None:
    path = mended(await exported(world), (",x,Dee", ",8,Dee"), (',,,,"4,Eve"', ',4,Eve,2005-02-03,"4,Eve"'))
    await world.buckets.store("bronze").delete(["20/people.csv"])
    assert 3 == await world.release("rel-1", "--edited", str(path), contract=CONTRACT)
    assert {2: "released", 3: "released", 4: "open"} == await world.states()
    assert [1, 2, 3] == await world.published()


async def test_a_file_that_is_gone_is_not_released_from_rows_that_were_not_kept(tmp_path: Path) -> None:
    unkept = "    customProperties:\n      - property: quarantine\n        value: {keepRaw: false}\n    properties:\n"
    contract = CONTRACT.replace("    properties:\n", unkept)
    world = await QuarantineWorld.after_run(tmp_path, contract)
    path = mended(await exported(world, contract=contract), (f"{FILE},4,5,,,", f"{FILE},4,5,,,2001-01-01"))
    await world.buckets.store("bronze").delete(["20/people.csv"])
    assert 3 == await world.release("rel-1", "--edited", str(path_of_row(path, 4)))
    (problem,) = (await world.report("rel-1"))["problems"]
    assert f"{FILE} is gone, and quarantine has kept no raw row" in problem["reason"]
    await world.bronze("20/people.csv", DIRTY)
    assert 0 == await world.release("rel-2", "--edited", str(path))
    (row,) = (await world.rows()).filter(pl.col("_source_row") == 4).to_dicts()
    assert (5, "Fay", "2001-01-01") == (row["id"], row["name"], row["hired"].isoformat())


async def test_rows_of_a_file_that_is_not_published_have_no_place_to_go(tmp_path: Path) -> None:
    most = "    customProperties:\n      - property: quarantine\n        value: {maxShare: 0.5}\n    properties:\n"
    world = QuarantineWorld(tmp_path)
    world.contract.write_text(CONTRACT.replace("    properties:\n", most))
    await world.bronze("20/people.csv", DIRTY)
    assert 3 == await world.run("r1")
    assert {2: "unpublished", 3: "unpublished", 4: "unpublished"} == await world.states()
    with pytest.raises(ConfigError, match="3 unpublished; rows of a file that is not published itself"):
        await world.release("rel-1")


async def test_protected_columns_are_read_again_from_the_file_and_their_tokens_stay(tmp_path: Path) -> None:
    world = await QuarantineWorld.after_run(tmp_path, PROTECTED)
    path = await exported(world, contract=PROTECTED)
    assert "Dee" not in path.read_text()
    path = mended(path, (",x,tok_", ",8,tok_"))
    assert 3 == await world.release("rel-1", "--edited", str(path))
    (row,) = (await world.rows()).filter(pl.col("_source_row") == 2, pl.col("_agency_id") == "20").to_dicts()
    token = path.read_text(encoding="utf-8-sig").partition(",8,")[2].partition(",")[0]
    assert (8, token) == (row["id"], row["name"])


async def test_protected_rows_of_a_file_that_is_gone_are_refused_by_name(tmp_path: Path) -> None:
    world = await QuarantineWorld.after_run(tmp_path, PROTECTED)
    await world.buckets.store("bronze").delete(["20/people.csv"])
    assert 3 == await world.release("rel-1")
    (problem,) = (await world.report("rel-1"))["problems"]
    assert "missing" == problem["status"]
    assert f"{FILE} is gone, and quarantine has only tokens of name" in problem["reason"]
    assert {2: "open", 3: "open", 4: "open"} == await world.states()


async def test_a_contract_that_numbers_the_rows_otherwise_releases_none_of_them(world: QuarantineWorld) -> None:
    assert 3 == await world.release("rel-1", contract=SHIFTED)
    (problem,) = (await world.report("rel-1"))["problems"]
    assert "the contract reads the file otherwise" in problem["reason"]
    assert [1] == await world.published()


async def test_a_contract_that_changes_a_columns_type_is_refused_before_anything_is_decided(
    world: QuarantineWorld,
) -> None:
    with pytest.raises(ConfigError, match="column hired is date in the table and string in the contract"):
        await world.release("rel-1", contract=CONTRACT.replace("logicalType: date", "logicalType: string"))
    assert (await world.rows("decisions")).is_empty()


async def test_plain_parquet_tables_release_in_the_same_way(tmp_path: Path) -> None:
    world = QuarantineWorld(tmp_path)
    world.destination = type(world.destination)("silver", "tables", "people", "parquet")
    await world.bronze("20/people.csv", DIRTY)
    await world.run("r1", "--format", "parquet")
    assert 3 == await world.release("rel-1", "--format", "parquet", contract=MENDED)
    assert {2: "open", 3: "open", 4: "released"} == await world.states()
    assert [1, 4] == await world.published()


async def test_no_quarantine_and_nothing_meant_are_said(world: QuarantineWorld) -> None:
    with pytest.raises(ConfigError, match="no row in quarantine is meant"):
        await world.release("rel-1", "--agency-id", "10")
    async with world.handler() as services:
        other = type(world.destination)("silver", "tables", "others")
        with open_book(services, other) as book:
            assert not await book.exists()
