from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from etl_core.errors import AccessDenied, ConfigError, InvalidData, PreconditionFailed, Throttled, Transient
from etl_core.objects.memory import MemoryBuckets, MemoryStore
from etl_core.testing.fake_clock import FakeClock
from pipeline_processing.model import Item
from pipeline_processing.processors.get_s3_files.s3_files import (
    FileMapping,
    FileResult,
    Pack,
    S3Config,
    S3FileProcessor,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from etl_core.objects import ObjectInfo, ObjectRef, ObjectStore

CONFIG = S3Config("src", "dst", attempts=3)


class Faulty(MemoryStore):
    """A store whose copies of some keys go wrong: each entry is raised once, in order, before copies succeed."""

    faults: dict[str, list[Exception]]

    async def copy(self, source: ObjectRef, key: str, *, info: ObjectInfo, metadata: Mapping[str, str]) -> ObjectInfo:
        if queue := self.faults.get(key):
            raise queue.pop(0)
        return await super().copy(source, key, info=info, metadata=metadata)


class World:
    """Two buckets, a clock, a processor, and what went wrong on purpose."""

    def __init__(self, *, strict: bool = False, versioned: bool = False) -> None:
        self.clock = FakeClock(auto_advance=True)
        self.buckets = MemoryBuckets(self.clock, strict=strict, versioned=versioned)
        self.source, self.destination = self.buckets.create("src"), self.buckets.create("dst")
        self.faults: dict[str, list[Exception]] = {}

    def store(self, bucket: str) -> ObjectStore:
        store = Faulty(self.buckets, bucket)
        store.faults = self.faults
        return store

    def processor(self, config: S3Config = CONFIG) -> S3FileProcessor:
        return S3FileProcessor(config, self.store, self.clock)

    async def planned(self, key: str, body: bytes = b"content", **metadata: str) -> FileMapping:
        info = await self.source.put(key, body, content_type="text/plain", metadata=metadata)
        return FileMapping(key, f"10/attachments/{key}", (("1", None),), info.size, info.etag)

    async def copy(self, *mappings: FileMapping) -> list[FileResult]:
        return await self.processor().process_files(mappings)

    async def status(self, mapping: FileMapping) -> tuple[str, str]:
        (result,) = await self.copy(mapping)
        return result.status, result.reason


async def test_a_file_is_copied_with_its_metadata_and_tags_and_says_where_it_is_from() -> None:
    world = World()
    mapping = await world.planned("  ünï + 100%.txt", b"abc", owner="clerk")
    world.source.amend(mapping.source_key, tags={"case": "7"}, headers={"CacheControl": "no-store"})

    (result,) = await world.copy(mapping)
    info = await world.destination.head(mapping.destination_key)

    assert (
        FileResult(
            mapping,
            "copied",
            "",
            3,
            info.etag,
            "SHA256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "text/plain",
        )
        == result
    )
    assert "clerk" == info.metadata["owner"]
    assert ("src", mapping.etag) == (info.metadata["source-bucket"], info.metadata["source-etag"])
    assert {"case": "7"} == world.destination.tags(mapping.destination_key)
    assert {"CacheControl": "no-store"} == info.headers


async def test_what_is_there_already_and_identical_is_skipped() -> None:
    world = World()
    mapping = await world.planned("a")

    first, second = await world.copy(mapping), await world.copy(mapping)

    assert ["copied", "skipped"] == [first[0].status, second[0].status]
    assert first[0] == replace(second[0], status="copied")


async def test_a_stored_file_is_skipped_even_when_its_source_has_gone_since() -> None:
    world = World()
    mapping = await world.planned("a")
    await world.copy(mapping)
    await world.source.delete(["a"])

    assert ("skipped", "") == await world.status(mapping)


async def test_something_else_at_the_destination_is_replaced() -> None:
    world = World()
    mapping = await world.planned("a", b"right")
    await world.destination.put(mapping.destination_key, b"wrong")

    assert ("copied", "") == await world.status(mapping)
    assert b"right" == (await world.destination.get(mapping.destination_key)).body


async def test_a_forged_copy_of_the_same_size_is_replaced() -> None:
    world = World()
    mapping = await world.planned("a", b"right")
    await world.copy(mapping)
    there = await world.destination.head(mapping.destination_key)
    await world.destination.put(mapping.destination_key, b"wrong", metadata=there.metadata)

    assert ("copied", "") == await world.status(mapping)
    assert b"right" == (await world.destination.get(mapping.destination_key)).body


async def test_a_missing_source_is_a_result() -> None:
    assert ("missing", "the source is not there") == await World().status(FileMapping("a", "b", etag="e", size=1))


async def test_a_source_that_changed_since_the_plan_is_a_result_and_nothing_is_written() -> None:
    world = World()
    mapping = await world.planned("a", b"planned")
    await world.source.put("a", b"newer!!")

    assert "changed" == (await world.status(mapping))[0]
    assert [] == [info async for info in world.destination.list()]


async def test_a_source_that_changes_under_the_copy_is_changed_too() -> None:
    world = World()
    mapping = await world.planned("a")
    world.faults[mapping.destination_key] = [PreconditionFailed("src/a is another object by now")]

    assert ("changed", "src/a is another object by now") == await world.status(mapping)


async def test_a_planned_version_is_copied_whatever_came_after_it() -> None:
    world = World(versioned=True)
    mapping = await world.planned("a", b"planned")
    version = (await world.source.head("a")).version_id
    await world.source.put("a", b"newer!!")

    assert ("copied", "") == await world.status(replace(mapping, version_id=version))
    assert b"planned" == (await world.destination.get(mapping.destination_key)).body


async def test_an_archived_source_is_a_result_that_names_its_storage_class() -> None:
    world = World()
    mapping = await world.planned("a")
    world.source.amend("a", storage_class="DEEP_ARCHIVE", is_archived=True)

    assert ("archived", "restore the source first: it is in storage class DEEP_ARCHIVE") == await world.status(mapping)


async def test_a_denied_copy_is_a_result() -> None:
    world = World()
    mapping = await world.planned("a")
    world.faults[mapping.destination_key] = [AccessDenied("dst: PutObject is denied")]

    assert ("denied", "dst: PutObject is denied") == await world.status(mapping)


async def test_a_bucket_that_is_not_there_is_a_result_for_each_file() -> None:
    world = World(strict=True)
    mapping = await world.planned("a")

    results = await world.processor(replace(CONFIG, source_bucket="gone")).process_files([mapping])

    assert [("missing", True)] == [(result.status, "gone" in result.reason) for result in results]


async def test_a_destination_that_is_not_there_makes_no_file_missing() -> None:
    world = World(strict=True)
    mapping = await world.planned("a")
    with pytest.raises(ConfigError, match="gone"):
        await world.processor(replace(CONFIG, destination_bucket="gone")).process_files([mapping])


async def test_a_file_with_a_verdict_is_not_touched() -> None:
    world = World()
    mapping = replace(await world.planned("a"), verdict="collision", reason="taken")

    assert ("collision", "taken") == await world.status(mapping)
    assert [] == [info async for info in world.destination.list()]


async def test_a_key_that_no_store_takes_fails_alone() -> None:
    world = World()
    good, bad = await world.planned("a"), replace(await world.planned("b"), destination_key="x" * 1025)

    assert ["copied", "failed"] == [result.status for result in await world.copy(good, bad)]


async def test_a_transient_fault_is_ridden_out() -> None:
    world = World()
    mapping = await world.planned("a")
    world.faults[mapping.destination_key] = [
        Throttled("slow down", retry_after=timedelta(seconds=7)),
        Transient("reset"),
    ]

    assert ("copied", "") == await world.status(mapping)
    assert world.clock.monotonic() >= 7


async def test_a_transient_fault_that_stays_fails_the_pack_after_its_other_files_are_done() -> None:
    world = World()
    good, bad = await world.planned("a"), await world.planned("b")
    world.faults[bad.destination_key] = [Throttled("slow down", retry_after=timedelta(seconds=9)) for _ in range(3)]

    with pytest.raises(Transient, match="1 of 2 files met a transient fault, the first: slow down") as caught:
        await world.copy(bad, good)

    assert timedelta(seconds=9) == caught.value.retry_after
    assert ["copied", "skipped"] == [result.status for result in await world.copy(bad, good)]


class Hanging(MemoryStore):
    async def head(self, key: str, *, version_id: str | None = None) -> ObjectInfo:
        await asyncio.Event().wait()
        raise AssertionError(key, version_id)


async def test_a_file_that_hangs_is_given_up_in_time() -> None:
    world = World()
    config = replace(CONFIG, timeout=timedelta(milliseconds=10), attempts=1)
    processor = S3FileProcessor(config, lambda bucket: Hanging(world.buckets, bucket), world.clock)

    with pytest.raises(Transient, match="not done within"):
        await processor.process_files([await world.planned("a")])


class Corrupting(MemoryStore):
    """A store whose copies lose a byte."""

    async def copy(self, source: ObjectRef, key: str, *, info: ObjectInfo, metadata: Mapping[str, str]) -> ObjectInfo:
        return await self.put(key, b"x" * (info.size - 1), metadata=metadata)


class Flipping(MemoryStore):
    """A store whose copies have the right size and other bytes."""

    async def copy(self, source: ObjectRef, key: str, *, info: ObjectInfo, metadata: Mapping[str, str]) -> ObjectInfo:
        return await self.put(key, b"x" * info.size, metadata=metadata)


@pytest.mark.parametrize("kind", [Corrupting, Flipping])
async def test_a_copy_that_is_not_like_its_source_fails(kind: type[MemoryStore]) -> None:
    world = World()
    processor = S3FileProcessor(CONFIG, lambda bucket: kind(world.buckets, bucket), world.clock)

    (result,) = await processor.process_files([await world.planned("a")])

    assert ("failed", "the copy's size or checksum is not the source's") == (result.status, result.reason)


@pytest.mark.parametrize("name", ["folder/", "a//b", "/a", "..x", "文書", "x" * 1000])
async def test_odd_names_and_empty_objects_are_copied_as_they_are(name: str) -> None:
    world = World()
    mapping = await world.planned(name, b"")

    assert "copied" == (await world.status(mapping))[0]
    assert 0 == (await world.destination.head(mapping.destination_key)).size


def item_of(*mappings: FileMapping) -> Item:
    pack = Pack("src", "dst", mappings)
    return Item("s3_files", "10", pack.as_json(), inputs=sum(len(mapping.attachments) for mapping in mappings))


async def test_an_item_s_result_counts_every_attachment_by_what_became_of_it() -> None:
    world = World()
    shared = replace(await world.planned("a"), attachments=(("1", None), ("2", "77")))
    missing = FileMapping("b", "10/attachments/b", (("3", None),), 1, "e")
    item = item_of(shared, missing)

    result = await world.processor(S3Config()).process(item)

    assert item.inputs == sum(result.counts.values())
    assert ("done", {"copied": 2, "missing": 1}, 1) == (result.status, result.counts, result.failed)
    assert ["10/attachments/a"] == [output.key for output in result.outputs]
    assert ["copied", "missing"] == [entry["status"] for entry in result.details["files"]]


async def test_an_item_done_again_is_skipped() -> None:
    world = World()
    item = item_of(await world.planned("a"))
    await world.processor().process(item)

    assert "skipped" == (await world.processor().process(item)).status


async def test_items_copy_between_the_buckets_that_they_name() -> None:
    world = World()
    mapping = await world.planned("a", b"abc")

    await world.processor(S3Config("other", "other")).process(item_of(mapping))

    digest = hashlib.md5(b"abc", usedforsecurity=False).hexdigest()
    assert digest == (await world.destination.head(mapping.destination_key)).etag


@pytest.mark.parametrize(
    "payload", [{}, {"source_bucket": "a", "destination_bucket": "b", "files": [{"size": "SECRET"}]}]
)
async def test_a_payload_that_is_no_pack_is_invalid_and_its_values_are_not_shown(payload: dict[str, object]) -> None:
    with pytest.raises(InvalidData, match="the payload is no pack of files; wrong: ") as caught:
        await World().processor().process(Item("s3_files", "10", payload))
    assert "SECRET" not in str(caught.value)


async def test_no_more_files_are_in_work_at_once_than_configured() -> None:
    world = World()
    mappings = [await world.planned(f"{n}") for n in range(20)]
    working, most = 0, 0

    class Counting(MemoryStore):
        async def copy(
            self, source: ObjectRef, key: str, *, info: ObjectInfo, metadata: Mapping[str, str]
        ) -> ObjectInfo:
            nonlocal working, most
            working += 1
            most = max(most, working)
            await asyncio.sleep(0)
            try:
                return await super().copy(source, key, info=info, metadata=metadata)
            finally:
                working -= 1

    make: Callable[[str], ObjectStore] = lambda bucket: Counting(world.buckets, bucket)  # noqa: E731 - a typed one-liner
    await S3FileProcessor(replace(CONFIG, concurrency=3), make, world.clock).process_files(mappings)

    assert 3 == most


async def test_settings_at_fault_are_not_taken_for_missing_files() -> None:
    world = World()
    mapping = await world.planned("a.txt")
    world.faults[mapping.destination_key] = [ConfigError("ExpiredToken", where="s3://src")]
    with pytest.raises(ConfigError, match="ExpiredToken"):
        await world.copy(mapping)
    assert ("copied", "") == await world.status(mapping)


class Plain(MemoryStore):
    """A store whose objects have no checksum, and an ETag that is no MD5, as with a customer's own key."""

    async def head(self, key: str, *, version_id: str | None = None) -> ObjectInfo:
        info = await super().head(key, version_id=version_id)
        return replace(info, checksums={}, etag=f"{info.etag}-1" if self.bucket == "dst" else info.etag)

    async def copy(self, source: ObjectRef, key: str, *, info: ObjectInfo, metadata: Mapping[str, str]) -> ObjectInfo:
        await super().copy(source, key, info=info, metadata=metadata)
        return await self.head(key)


async def test_a_copy_that_only_its_size_vouches_for_says_so() -> None:
    world = World()
    mapping = await world.planned("a.txt")
    processor = S3FileProcessor(CONFIG, lambda bucket: Plain(world.buckets, bucket), world.clock)
    (result,) = await processor.process_files([mapping])
    assert ("copied", "verified by size only") == (result.status, result.reason)
