"""The manifest of an agency, and what two publishes do to the catalog."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson
import polars as pl
import pytest

from etl_core.errors import ConfigError, InvalidData, PreconditionFailed, ReplyLost, Transient
from etl_core.objects.memory import MemoryBuckets, MemoryStore
from etl_core.testing.fake_clock import FakeClock
from pipeline_processing.model import Gathered, Item, ItemResult, Marker, Output, Problem, Published
from pipeline_processing.processors.get_s3_files import catalog, employment_history, s3_files
from pipeline_processing.processors.get_s3_files.file_manifest import COLUMNS, ManifestRows, write
from pipeline_processing.processors.get_s3_files.publication import Publication
from pipeline_processing.processors.get_s3_files.s3_files import FileMapping, Pack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence
    from pathlib import Path

EARLY, LATE = "2030-01-01T00:00:00+00:00", "2030-01-01T00:00:00.500000+00:00"


class World:
    def __init__(self) -> None:
        self.clock = FakeClock(auto_advance=True)
        self.store: MemoryStore = MemoryBuckets(self.clock).create("dst")

    async def publish(
        self, *gathered: Gathered, run_id: str = "r1", planned_at: str | None = EARLY, store: MemoryStore | None = None
    ) -> Published:
        async def results() -> AsyncIterator[Gathered]:
            for one in sorted(gathered, key=lambda one: one.item.item_id):
                yield one

        publication = Publication(
            run_id, store or self.store, "out", self.clock, jitter=lambda: 0.5, planned_at=planned_at
        )
        return await publication.publish(results())

    async def catalog(self) -> dict[str, Any]:
        agencies: dict[str, Any] = orjson.loads((await self.store.get("out/catalog.json")).body)["agencies"]
        return agencies

    async def manifest(self, agency_id: str = "10") -> list[dict[str, Any]]:
        key = (await self.catalog())[agency_id]["attachments"]["files"][0]["key"]
        return [orjson.loads(line) for line in (await self.store.get(key)).body.splitlines()]


def done(item: Item, result: ItemResult) -> Gathered:
    marker = Marker("r1", item.item_id, item.processor, item.agency_id, "n", 1, "w", "v", EARLY, result)
    return Gathered(item, result.status, marker)


def pack_item(keys: Iterable[str], agency_id: str = "10") -> Item:
    files = tuple(FileMapping(f"{key}", f"out/{agency_id}/attachments/{key}", ((f"id-{key}", "7"),)) for key in keys)
    return Item(s3_files.NAME, agency_id, Pack("src", "dst", files).as_json(), inputs=len(files))


def stored(item: Item, statuses: Sequence[str]) -> Gathered:
    files = item.payload["files"]
    outputs = tuple(
        Output("dst", file["destination_key"], 3, "etag", "SHA256:00", "attachment")
        for file, status in zip(files, statuses, strict=True)
        if status in {"copied", "skipped"}
    )
    details = {
        "files": [
            {"status": s, "reason": "" if s in {"copied", "skipped"} else "why", "content_type": "text/plain"}
            for s in statuses
        ]
    }
    return done(item, ItemResult(item.item_id, "done", {}, outputs=outputs, details=details))


def exported(agency_id: str = "10", digest: str = "a" * 64) -> Gathered:
    item = Item(employment_history.NAME, agency_id, {"destination_bucket": "dst"})
    output = Output(
        "dst", f"out/{agency_id}/employment_history/{digest[:32]}.csv", 9, "e", f"SHA256:{digest}", "employment_history"
    )
    return done(item, ItemResult(item.item_id, "done", {"exported": 1}, outputs=(output,), details={"rows": 5}))


async def test_the_manifest_has_one_row_an_attachment_that_says_what_is() -> None:
    world = World()

    await world.publish(stored(pack_item(["b", "a"]), ["copied", "missing"]), Gathered(pack_item(["c"]), "dead"))

    a, b, c = await world.manifest()
    assert list(COLUMNS) == list(a)
    assert ("missing", "why", None, None) == (a["status"], a["reason"], a["destination_key"], a["size"])
    assert {
        "attachment_id": "id-b",
        "employee_id": "7",
        "agency_id": "10",
        "source_bucket": "src",
        "source_key": "b",
        "destination_bucket": "dst",
        "destination_key": "out/10/attachments/b",
        "size": 3,
        "etag": "etag",
        "checksum": "SHA256:00",
        "content_type": "text/plain",
        "status": "stored",
        "reason": None,
    } == b
    assert "dead" == c["status"]


async def test_the_publish_names_the_files_that_failed_and_why() -> None:
    published = await World().publish(
        stored(pack_item(["b", "a"]), ["changed", "missing"]),
        stored(pack_item(["c"], "9"), ["denied"]),
        stored(pack_item(["d"]), ["copied"]),
        Gathered(pack_item(["e"]), "dead"),
    )

    assert (
        Problem("10", "a", "missing", "why"),
        Problem("10", "b", "changed", "why"),
        Problem("9", "c", "denied", "why"),
    ) == published.problems


async def test_copied_or_skipped_and_packed_this_way_or_that_the_bytes_are_the_same() -> None:
    one, other = World(), World()

    first = await one.publish(stored(pack_item(["a", "b"]), ["copied", "copied"]), stored(pack_item(["c"]), ["copied"]))
    second = await other.publish(
        stored(pack_item(["b", "c"]), ["skipped", "copied"]), stored(pack_item(["a"]), ["skipped"])
    )

    assert 2 == len(first.outputs)
    assert first.outputs == second.outputs


async def test_the_parquet_has_the_rows_of_the_ndjson(tmp_path: Path) -> None:
    world = World()
    published = await world.publish(stored(pack_item(["ü", "a"]), ["copied", "missing"]))

    (tmp_path / "table").write_bytes((await world.store.get(published.outputs[1].key)).body)

    assert await world.manifest() == pl.read_parquet(tmp_path / "table").to_dicts()


async def test_a_manifest_of_many_rows_is_the_same_bytes_every_time() -> None:
    world = World()
    item = pack_item(f"{number:06d}" for number in range(60_000))
    digests = set()
    for _ in range(2):
        with ManifestRows() as rows:
            rows.add(stored(item, ["copied"] * 60_000))
            ((agency_id, lines),) = ((agency_id, list(lines)) for agency_id, lines in rows.agencies())
        manifest = await write(agency_id, lines, world.store, "out")
        digests.add(manifest.outputs)

    assert 1 == len(digests)
    assert {"stored": 60_000} == manifest.counts


async def test_a_marker_that_does_not_fit_its_item_is_refused() -> None:
    item = pack_item(["a", "b"])
    with pytest.raises(InvalidData, match="tells of 1 files, not 2"):
        await World().publish(done(item, ItemResult(item.item_id, "done", {}, details={"files": [{}]})))


async def test_publishing_twice_commits_once() -> None:
    world = World()
    results = [stored(pack_item(["a"]), ["copied"]), exported()]

    first, second = await world.publish(*results), await world.publish(*results)

    assert [True, False] == [first.changed, second.changed]
    assert (first.commit, first.outputs, first.counts) == (second.commit, second.outputs, second.counts)
    assert {"stored": 1, "employment_rows": 5, "agencies": 1, "empty_agencies": 0, "superseded": 0} == first.counts


async def test_gathers_of_many_runs_at_once_lose_nobody_s_entry() -> None:
    world = World()

    published = await asyncio.gather(
        *(world.publish(stored(pack_item(["a"], str(n)), ["copied"]), run_id=f"r{n}") for n in range(8))
    )

    assert {True} == {one.changed for one in published}
    assert {str(n) for n in range(8)} == set(await world.catalog())


async def test_two_gathers_of_one_run_at_once_commit_once() -> None:
    world = World()
    results = [stored(pack_item(["a"]), ["copied"])]

    published = await asyncio.gather(world.publish(*results), world.publish(*results))

    assert [False, True] == sorted(one.changed for one in published)


async def test_an_older_run_that_publishes_late_gives_way_and_says_so() -> None:
    world = World()
    await world.publish(stored(pack_item(["a"]), ["copied"]), run_id="newer", planned_at=LATE)

    late = await world.publish(stored(pack_item(["b"]), ["copied"]), exported(), run_id="older", planned_at=EARLY)

    parts = (await world.catalog())["10"]
    assert (1, True) == (late.counts["superseded"], late.changed)
    assert ("newer", "older") == (parts["attachments"]["run_id"], parts["employment_history"]["run_id"])


async def test_a_newer_run_without_histories_keeps_the_older_one_s_export() -> None:
    world = World()
    await world.publish(stored(pack_item(["a"]), ["copied"]), exported(), run_id="older")

    await world.publish(stored(pack_item(["b"]), ["copied"]), run_id="newer", planned_at=LATE)

    parts = (await world.catalog())["10"]
    assert ("newer", "older") == (parts["attachments"]["run_id"], parts["employment_history"]["run_id"])


async def test_a_slow_gather_does_not_undo_what_a_redrive_has_mended() -> None:
    world = World()
    await world.publish(stored(pack_item(["a"]), ["copied"]))

    slow = await world.publish(Gathered(pack_item(["a"]), "dead"))

    assert (False, 1) == (slow.changed, slow.counts["superseded"])
    assert ["stored"] == [row["status"] for row in await world.manifest()]


async def test_late_items_of_a_run_are_a_second_commit_of_it() -> None:
    world = World()
    first = await world.publish(Gathered(pack_item(["a"]), "dead"))

    second = await world.publish(stored(pack_item(["a"]), ["copied"]))

    assert second.changed
    assert first.commit != second.commit


async def test_a_run_that_found_nothing_leaves_the_catalog_alone() -> None:
    world = World()
    item = Item(employment_history.NAME, "10", {"destination_bucket": "dst"})
    empty = done(item, ItemResult(item.item_id, "skipped", {"empty": 1}, details={"rows": 0}))

    published = await world.publish(empty)

    assert Published("nothing to publish", changed=False, counts={"agencies": 1, "empty_agencies": 1}) == published
    assert [] == [info async for info in world.store.list()]


async def test_without_a_plan_s_time_a_run_is_as_old_as_its_first_result() -> None:
    world = World()
    await world.publish(exported(), planned_at=None)

    assert EARLY == (await world.catalog())["10"]["employment_history"]["planned_at"]


class Unsure(MemoryStore):
    """A store that loses the reply to a conditional write which has taken effect, or says 412 of it."""

    fault: Exception | None = ReplyLost("reset")

    async def put_if_absent(self, key: str, body: bytes, *, content_type: str | None = None) -> str:
        etag = await super().put_if_absent(key, body, content_type=content_type)
        return self._answer(etag)

    async def put_if_match(self, key: str, body: bytes, *, etag: str, content_type: str | None = None) -> str:
        new = await super().put_if_match(key, body, etag=etag, content_type=content_type)
        return self._answer(new)

    def _answer(self, etag: str) -> str:
        fault, self.fault = self.fault, None
        if fault is not None:
            raise fault
        return etag


async def test_a_commit_whose_reply_was_lost_is_found_by_reading_back() -> None:
    world = World()
    store = Unsure(world.store._buckets, "dst")

    published = await world.publish(exported(), store=store)

    assert published.changed
    assert {"10"} == set(await world.catalog())


async def test_a_412_is_answered_by_reading_back() -> None:
    world = World()
    store = Unsure(world.store._buckets, "dst")
    store.fault = PreconditionFailed("at the first try this very call had won")

    await world.publish(exported(), store=store)

    assert {"10"} == set(await world.catalog())


class Denying(MemoryStore):
    async def put_if_absent(self, key: str, body: bytes, *, content_type: str | None = None) -> str:
        raise Transient("never")


async def test_a_catalog_that_can_not_be_written_is_transient() -> None:
    world = World()

    with pytest.raises(Transient, match="no quiet moment"):
        await world.publish(exported(), store=Denying(world.store._buckets, "dst"))


@pytest.mark.parametrize("body", [b"", b"{}", b'{"v":2,"agencies":{}}', b'{"v":1,"agencies":{"10":{"x":{}}}}', b"[]"])
async def test_something_else_in_the_catalog_s_place_is_not_overwritten(body: bytes) -> None:
    world = World()
    await world.store.put("out/catalog.json", body)

    with pytest.raises(ConfigError, match="this is no catalog of version 1"):
        await world.publish(exported())
    assert body == (await world.store.get("out/catalog.json")).body


def test_merging_does_not_change_what_it_was_given() -> None:
    there = {"10": {"attachments": {"planned_at": EARLY, "run_id": "a", "items_done": 1}}}

    catalog.merged(there, {"10": {"attachments": {"planned_at": LATE, "run_id": "b", "items_done": 1}}})

    assert "a" == there["10"]["attachments"]["run_id"]
