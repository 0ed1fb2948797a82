from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import orjson
import pytest
import zstandard

from etl_core.errors import ConfigError, InvalidData, NotFound, ReplyLost
from etl_core.objects.memory import MemoryBuckets, MemoryStore
from etl_core.testing.fake_clock import FakeClock
from pipeline_processing.layout import RunLayout
from pipeline_processing.manifest import Manifest, Manifests, Tally
from pipeline_processing.model import Item

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

LAYOUT = RunLayout("pp", "r1")
CLOCK = FakeClock(auto_advance=True)


def make(store: MemoryStore, *, nonce: str = "n", part_items: int = 4) -> Manifests:
    numbers = itertools.count()
    return Manifests(
        store,
        LAYOUT,
        CLOCK,
        jitter=lambda: 0.5,
        nonce=lambda: f"{nonce}{next(numbers)}",
        part_items=part_items,
    )


def bucket() -> MemoryStore:
    return MemoryBuckets(CLOCK).create("control")


def item(number: int, *, inputs: int = 2) -> Item:
    return Item("copy" if number % 2 else "export", f"a{number % 3}", {"number": number}, inputs)


async def stream(items: Iterable[Item]) -> AsyncIterator[Item]:
    for one in items:
        yield one
        await asyncio.sleep(0)


async def keys(store: MemoryStore) -> list[str]:
    return [info.key async for info in store.list()]


async def test_items_come_back_sorted_and_counted() -> None:
    manifests = make(bucket())
    items = [item(number) for number in range(11)]
    manifest = await manifests.freeze(stream(items))
    assert sorted(items, key=lambda one: one.item_id) == [one async for one in manifests.items(manifest)]
    assert (11, 22) == (manifest.items, manifest.inputs)
    assert [4, 4, 3] == [part.count for part in manifest.parts]
    assert {"a0": Tally(4, 8), "a1": Tally(4, 8), "a2": Tally(3, 6)} == manifest.agencies
    assert {"copy": Tally(5, 10), "export": Tally(6, 12)} == manifest.processors


async def test_duplicates_collapse() -> None:
    manifest = await make(bucket()).freeze(stream([item(1), item(2), item(1)]))
    assert 2 == manifest.items


async def test_one_item_with_two_counts_of_inputs_is_refused() -> None:
    with pytest.raises(InvalidData, match="twice"):
        await make(bucket()).freeze(stream([item(1), item(1, inputs=7)]))


async def test_an_empty_plan_is_a_manifest_without_parts() -> None:
    store = bucket()
    manifests = make(store)
    manifest = await manifests.freeze(stream([]))
    assert (0, ()) == (manifest.items, manifest.parts)
    assert [] == [one async for one in manifests.items(manifest)]
    assert [LAYOUT.manifest] == await keys(store)


async def test_the_second_planner_adopts_the_first_ones_manifest() -> None:
    store = bucket()
    first = await make(store, nonce="one").freeze(stream([item(1)]))
    second = await make(store, nonce="two").freeze(stream([item(2)]))
    assert first == second == await make(store).load()


async def test_two_planners_at_once_agree_and_their_parts_do_not_mix() -> None:
    store = bucket()
    one, two = make(store, nonce="one"), make(store, nonce="two", part_items=3)
    mine, theirs = [item(n) for n in range(10)], [item(n) for n in range(5, 20)]
    first, second = await asyncio.gather(one.freeze(stream(mine)), two.freeze(stream(theirs)))
    assert first == second
    winner = mine if first.items == 10 else theirs
    assert {one.item_id for one in winner} == {read.item_id async for read in two.items(first)}


class LosesReplies(MemoryStore):
    """The create takes effect, its reply never comes."""

    async def put_if_absent(self, key: str, body: bytes, *, content_type: str | None = None) -> str:
        await super().put_if_absent(key, body, content_type=content_type)
        raise ReplyLost("no reply")


async def test_a_lost_reply_is_read_back() -> None:
    manifest = await make(LosesReplies(MemoryBuckets(CLOCK), "control")).freeze(stream([item(1)]))
    assert ("n0", 1) == (manifest.nonce, manifest.items)


async def test_a_planner_that_died_before_the_head_leaves_the_run_unplanned() -> None:
    class DiesAtTheHead(MemoryStore):
        async def put_if_absent(self, key: str, body: bytes, *, content_type: str | None = None) -> str:
            raise KeyboardInterrupt

    buckets = MemoryBuckets(CLOCK)
    with pytest.raises(KeyboardInterrupt):
        await make(DiesAtTheHead(buckets, "control")).freeze(stream([item(1)]))
    again = make(buckets.store("control"))
    assert await again.load() is None
    assert 3 == (await again.freeze(stream([item(1), item(2), item(3)]))).items


async def read_all(store: MemoryStore, manifest: Manifest) -> list[Item]:
    return [one async for one in make(store).items(manifest)]


async def test_an_altered_part_is_named() -> None:
    store = bucket()
    manifest = await make(store).freeze(stream(item(n) for n in range(9)))
    key = manifest.parts[1].key
    lines = zstandard.decompress((await store.get(key)).body)
    await store.put(key, zstandard.compress(lines.replace(b'"inputs":2', b'"inputs":3', 1)))
    with pytest.raises(ConfigError, match="altered after the plan") as caught:
        await read_all(store, manifest)
    assert f"s3://control/{key}" == caught.value.where


async def test_a_missing_part_is_named() -> None:
    store = bucket()
    manifest = await make(store).freeze(stream(item(n) for n in range(9)))
    await store.delete([manifest.parts[2].key])
    with pytest.raises(ConfigError, match="gone") as caught:
        await read_all(store, manifest)
    assert f"s3://control/{manifest.parts[2].key}" == caught.value.where


async def test_a_head_that_names_fewer_parts_than_it_counts_is_refused() -> None:
    store = bucket()
    manifest = await make(store).freeze(stream(item(n) for n in range(9)))
    document = orjson.loads(manifest.encode())
    document["parts"].pop()
    await store.put(LAYOUT.manifest, orjson.dumps(document))
    altered = await make(store).load()
    assert altered is not None
    with pytest.raises(ConfigError, match="8 items, not 9"):
        await read_all(store, altered)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"v": 2}', b'{"v":1,"parts":[{}]}'])
async def test_a_head_that_is_no_manifest_is_a_clear_error(body: bytes) -> None:
    store = bucket()
    await store.put(LAYOUT.manifest, body)
    with pytest.raises(ConfigError, match="altered after the plan") as caught:
        await make(store).load()
    assert f"s3://control/{LAYOUT.manifest}" == caught.value.where


async def test_a_claim_check_finds_its_item() -> None:
    manifests = make(bucket())
    manifest = await manifests.freeze(stream(item(n) for n in range(9)))
    items = [one async for one in manifests.items(manifest)]
    assert items == [await manifests.read_item(manifest.part_of(one.item_id), one.item_id) for one in items]
    with pytest.raises(NotFound):
        await manifests.read_item(manifest.parts[0].key, "0" * 32)
