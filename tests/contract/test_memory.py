from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from etl_core.errors import Archived
from etl_core.objects import ObjectRef
from etl_core.objects.memory import MemoryBuckets, MemoryStore
from etl_core.queue import Message
from etl_core.queue.memory import MemoryQueue
from etl_core.testing.fake_clock import FakeClock
from etl_core.testing.objects_contract import ObjectStoreContract
from etl_core.testing.queue_contract import LEASE, QueueContract

if TYPE_CHECKING:
    from collections.abc import Mapping

    from etl_core.objects import ObjectStore
    from etl_core.queue import Queue


class TestMemoryQueue(QueueContract):
    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock(auto_advance=True)

    @pytest.fixture
    def dead_letters(self, clock: FakeClock) -> Queue:
        return MemoryQueue("queue-dlq", clock, lease=LEASE)

    @pytest.fixture
    def queue(self, dead_letters: Queue, clock: FakeClock) -> Queue:
        assert isinstance(dead_letters, MemoryQueue)
        return MemoryQueue(
            "queue", clock, lease=LEASE, max_receive_count=self.MAX_RECEIVE_COUNT, dead_letter_queue=dead_letters
        )


class TestMemoryStore(ObjectStoreContract):
    @pytest.fixture
    def buckets(self) -> MemoryBuckets:
        return MemoryBuckets(FakeClock(), strict=True)

    @pytest.fixture
    def store(self, buckets: MemoryBuckets) -> ObjectStore:
        return buckets.create("store")

    @pytest.fixture
    def other(self, buckets: MemoryBuckets) -> ObjectStore:
        return buckets.create("other")

    @pytest.fixture
    def missing(self, buckets: MemoryBuckets) -> ObjectStore:
        return buckets.store("missing")

    async def decorate(self, store: ObjectStore, key: str, headers: Mapping[str, str], tags: Mapping[str, str]) -> None:
        assert isinstance(store, MemoryStore)
        store.amend(key, headers=headers, tags=tags)

    async def tags(self, store: ObjectStore, key: str) -> Mapping[str, str]:
        assert isinstance(store, MemoryStore)
        return store.tags(key)


async def test_a_message_past_its_retention_is_gone() -> None:
    clock = FakeClock(auto_advance=True)
    queue = MemoryQueue("queue", clock, retention=timedelta(minutes=1))
    await queue.send([Message("old")])
    await clock.advance(timedelta(minutes=2))
    assert not await queue.receive(limit=1, wait=timedelta(0), lease=LEASE)
    assert (await queue.depth()).is_empty()


async def test_an_archived_object_is_listed_and_described_but_not_read() -> None:
    buckets = MemoryBuckets(FakeClock())
    store = buckets.store("cold")
    await store.put("k", b"x")
    store.amend("k", storage_class="GLACIER", is_archived=True)
    info = await store.head("k")
    assert ("GLACIER", True) == (info.storage_class, info.is_archived)
    with pytest.raises(Archived):
        await store.get("k")
    with pytest.raises(Archived):
        await buckets.store("warm").copy(ObjectRef("cold", "k", info.etag), "k", info=info, metadata={})


async def test_an_old_version_stays_readable_by_its_id() -> None:
    store = MemoryBuckets(FakeClock(), versioned=True).store("kept")
    first = await store.put("k", b"1")
    second = await store.put("k", b"22")
    copied = await store.copy(ObjectRef("kept", "k", first.etag, first.version_id), "copy", info=first, metadata={})
    assert (1, 2) == ((await store.head("k", version_id=first.version_id)).size, (await store.head("k")).size)
    assert (first.etag, 3) == (copied.etag, len({first.version_id, second.version_id, copied.version_id}))
