"""What every object store does, as tests: subclass it, give it the fixtures, and pytest runs it all."""

from __future__ import annotations

import asyncio
import hashlib
from abc import abstractmethod
from base64 import b64encode
from typing import TYPE_CHECKING, Final

import pytest

from etl_core.errors import ConfigError, InvalidData, NotFound, PreconditionFailed
from etl_core.objects import KEY_LIMIT, METADATA_LIMIT, ObjectInfo, ObjectRef

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from etl_core.objects import ObjectStore

MIB: Final = 1024 * 1024
ODD_KEYS: Final = (
    "plain.txt",
    "two words/file name.txt",
    "a+b",
    "100%",
    "a%20b",
    "../up",
    "a/../b",
    "./here",
    "a//b",
    "/leading",
    "//twice",
    "trailing/",
    " spaces ",
    "what?x=1&y=2",
    "hash#tag",
    "a&b=c;d,e:f@g$h!",
    "~tilde*star'(paren)",
    "back\\slash",
    "<xml>&amp;\"'",
    "new\nline\ttab",
    "control\x01character",
    "Zoë/naïve/日本/🙂",
    "Zoe\u0308 decomposed",
    "k" * KEY_LIMIT,
    "é" * (KEY_LIMIT // 2),
)


async def some_bytes(size: int, chunk: int = 700_001) -> AsyncIterator[bytes]:
    """Yield ``size`` bytes that differ from part to part, in chunks that fit no part's size."""
    for start in range(0, size, chunk):
        yield bytes([start // chunk % 251]) * min(chunk, size - start)


async def collect(chunks: AsyncIterator[bytes]) -> bytes:
    """Return the whole stream."""
    return b"".join([chunk async for chunk in chunks])


async def keys_of(listing: AsyncIterator[ObjectInfo]) -> list[str]:
    """Return a listing's keys, in its order."""
    return [info.key async for info in listing]


class ObjectStoreContract:
    """Subclasses give two empty buckets of one account, one that does not exist, and access to what the protocol hides.

    A copy of over 6 MiB, and an upload of over 5 MiB, goes in parts.
    """

    @pytest.fixture
    def store(self) -> ObjectStore:
        """Return the store under test."""
        raise NotImplementedError

    @pytest.fixture
    def other(self) -> ObjectStore:
        """Return a second bucket of the same account."""
        raise NotImplementedError

    @pytest.fixture
    def missing(self) -> ObjectStore:
        """Return a store bound to a bucket that does not exist."""
        raise NotImplementedError

    @abstractmethod
    async def decorate(self, store: ObjectStore, key: str, headers: Mapping[str, str], tags: Mapping[str, str]) -> None:
        """Give an existing object system headers and tags; its content type and body stay."""

    @abstractmethod
    async def tags(self, store: ObjectStore, key: str) -> Mapping[str, str]:
        """Return an object's tags."""

    async def test_what_was_put_is_read_back_exactly(self, store: ObjectStore) -> None:
        body = bytes(range(256)) * 10
        put = await store.put("a/b.bin", body, content_type="text/x", metadata={"Run-Id": "r 1"})
        blob, head = await store.get("a/b.bin"), await store.head("a/b.bin")
        assert body == blob.body == await collect(store.stream("a/b.bin"))
        assert {hashlib.md5(body, usedforsecurity=False).hexdigest()} == {put.etag, blob.info.etag, head.etag}
        for info in (put, blob.info, head):
            assert ("a/b.bin", len(body), "text/x") == (info.key, info.size, info.content_type)
            assert {"run-id": "r 1"} == dict(info.metadata)
            assert b64encode(hashlib.sha256(body).digest()).decode() == info.checksums["SHA256"]
            assert info.modified.tzinfo is not None
        assert ("STANDARD", False) == (head.storage_class, head.is_archived)

    async def test_a_put_replaces_what_is_there(self, store: ObjectStore) -> None:
        first = await store.put("k", b"1", metadata={"a": "b"})
        second = await store.put("k", b"2")
        blob = await store.get("k")
        assert (b"2", second.etag, {}) == (blob.body, blob.info.etag, dict(blob.info.metadata))
        assert first.etag != second.etag

    @pytest.mark.parametrize("key", ODD_KEYS, ids=lambda key: ascii(key)[:30])
    async def test_an_odd_key_is_kept_exactly(self, store: ObjectStore, other: ObjectStore, key: str) -> None:
        etag = await store.put_if_absent(key, b"x")
        info = await store.head(key)
        copied = await other.copy(ObjectRef(store.bucket, key, etag), key, info=info, metadata={})
        assert (b"x", etag) == ((await store.get(key)).body, copied.etag)
        assert [key] == await keys_of(store.list()) == await keys_of(other.list(key))
        assert (0,) == (await store.delete([key])).succeeded
        assert [] == await keys_of(store.list())

    async def test_odd_keys_do_not_fall_together(self, store: ObjectStore) -> None:
        for key in ODD_KEYS:
            await store.put(key, key.encode())
        assert sorted(ODD_KEYS, key=str.encode) == await keys_of(store.list())
        assert [key.encode() for key in ODD_KEYS] == [(await store.get(key)).body for key in ODD_KEYS]

    @pytest.mark.parametrize("key", ["", "k" * (KEY_LIMIT + 1), "é" * (KEY_LIMIT // 2) + "x", "half \ud83d"])
    async def test_a_key_that_s3_can_not_hold_is_invalid(self, store: ObjectStore, key: str) -> None:
        with pytest.raises(InvalidData):
            await store.put(key, b"")
        with pytest.raises(InvalidData):
            await store.head(key)

    @pytest.mark.parametrize(
        "metadata", [{"name": "Zoë"}, {"ö": "x"}, {"a": "x" * METADATA_LIMIT}, {"a": "line\nbreak"}, {"a": " spaced "}]
    )
    async def test_metadata_that_headers_can_not_carry_is_invalid(
        self, store: ObjectStore, metadata: Mapping[str, str]
    ) -> None:
        with pytest.raises(InvalidData):
            await store.put("k", b"", metadata=metadata)
        assert [] == await keys_of(store.list())

    async def test_a_missing_object_is_not_found(self, store: ObjectStore) -> None:
        for call in (store.head("no"), store.get("no"), collect(store.stream("no"))):
            with pytest.raises(NotFound):
                await call

    async def test_a_missing_bucket_is_a_matter_of_configuration(
        self, store: ObjectStore, missing: ObjectStore
    ) -> None:
        info = await store.put("k", b"x")
        for call in (
            missing.head("k"),
            missing.get("k"),
            collect(missing.stream("k")),
            missing.put("k", b""),
            missing.put_if_absent("k", b""),
            missing.put_if_match("k", b"", etag=info.etag),
            missing.upload("k", some_bytes(3)),
            missing.copy(ObjectRef(store.bucket, "k", info.etag), "k", info=info, metadata={}),
            store.copy(ObjectRef(missing.bucket, "k", info.etag), "k", info=info, metadata={}),
            keys_of(missing.list()),
            missing.delete(["k"]),
        ):
            with pytest.raises(ConfigError, match=missing.bucket):
                await call

    async def test_the_first_creation_wins(self, store: ObjectStore) -> None:
        etag = await store.put_if_absent("marker", b"first", content_type="application/json")
        with pytest.raises(PreconditionFailed):
            await store.put_if_absent("marker", b"second")
        blob = await store.get("marker")
        assert (b"first", etag, "application/json") == (blob.body, blob.info.etag, blob.info.content_type)

    async def test_of_many_creations_at_once_exactly_one_wins(self, store: ObjectStore) -> None:
        async def create(n: int) -> bool:
            try:
                await store.put_if_absent("marker", str(n).encode())
            except PreconditionFailed:
                return False
            return True

        outcomes = await asyncio.gather(*(create(n) for n in range(12)))
        assert 1 == sum(outcomes)
        assert str(outcomes.index(True)).encode() == (await store.get("marker")).body

    async def test_a_deleted_key_can_be_created_again(self, store: ObjectStore) -> None:
        await store.put_if_absent("k", b"1")
        await store.delete(["k"])
        await store.put_if_absent("k", b"2")
        assert b"2" == (await store.get("k")).body

    async def test_a_replacement_needs_the_etag_that_is_there(self, store: ObjectStore) -> None:
        first = await store.put_if_absent("run.json", b"1")
        second = await store.put_if_match("run.json", b"2", etag=first, content_type="application/json")
        with pytest.raises(PreconditionFailed):
            await store.put_if_match("run.json", b"3", etag=first)
        blob = await store.get("run.json")
        assert (b"2", second, "application/json") == (blob.body, blob.info.etag, blob.info.content_type)

    async def test_what_is_gone_can_not_be_replaced(self, store: ObjectStore) -> None:
        with pytest.raises(NotFound):
            await store.put_if_match("no", b"", etag="0" * 32)

    async def test_a_stream_is_pinned_to_its_etag(self, store: ObjectStore) -> None:
        first = await store.put("k", b"1")
        await store.put("k", b"2")
        with pytest.raises(PreconditionFailed):
            await collect(store.stream("k", etag=first.etag))

    @pytest.mark.parametrize("size", [0, 1, 5 * MIB, 5 * MIB + 1, 13 * MIB])
    async def test_an_upload_arrives_whole(self, store: ObjectStore, size: int) -> None:
        info = await store.upload("k", some_bytes(size), content_type="text/csv", metadata={"a": "b"})
        head = await store.head("k")
        assert (size, "text/csv", {"a": "b"}) == (head.size, head.content_type, dict(head.metadata))
        assert (head.etag, head.size) == (info.etag, info.size)
        chunks = [chunk async for chunk in store.stream("k", etag=info.etag)]
        assert await collect(some_bytes(size)) == b"".join(chunks)
        assert all(len(chunk) <= MIB for chunk in chunks)

    @pytest.mark.parametrize("size", [1, 13 * MIB])
    async def test_an_upload_whose_source_fails_leaves_what_was_there(self, store: ObjectStore, size: int) -> None:
        async def broken() -> AsyncIterator[bytes]:
            async for chunk in some_bytes(size):
                yield chunk
            raise ArithmeticError

        await store.put("k", b"old")
        with pytest.raises(ArithmeticError):
            await store.upload("k", broken())
        assert b"old" == (await store.get("k")).body

    @pytest.mark.parametrize("size", [0, 1, 13 * MIB])
    async def test_a_copy_carries_bytes_headers_and_tags(
        self, store: ObjectStore, other: ObjectStore, size: int
    ) -> None:
        await store.upload("from", some_bytes(size), content_type="text/csv", metadata={"old": "1"})
        headers = {"CacheControl": "no-store", "ContentDisposition": 'attachment; filename="x y.csv"'}
        await self.decorate(store, "from", headers, {"agency": "10", "odd tag": "a+b=c"})
        source = await store.head("from")
        assert headers == dict(source.headers)
        copied = await other.copy(
            ObjectRef(store.bucket, "from", source.etag), "to", info=source, metadata={"source-key": "from"}
        )
        assert copied == await other.head("to")
        assert (size, "text/csv", headers) == (copied.size, copied.content_type, dict(copied.headers))
        assert {"source-key": "from"} == dict(copied.metadata)
        assert {"agency": "10", "odd tag": "a+b=c"} == await self.tags(other, "to")
        assert await collect(some_bytes(size)) == await collect(other.stream("to"))

    async def test_a_copy_has_a_checksum_of_the_whole_object(self, store: ObjectStore, other: ObjectStore) -> None:
        source = await store.put("from", b"bytes")
        copied = await other.copy(ObjectRef(store.bucket, "from", source.etag), "to", info=source, metadata={})
        assert source.checksums["SHA256"] == copied.checksums["SHA256"]

    @pytest.mark.parametrize("size", [3, 13 * MIB])
    async def test_a_copy_of_what_has_changed_fails_and_leaves_nothing(
        self, store: ObjectStore, other: ObjectStore, size: int
    ) -> None:
        planned = await store.upload("from", some_bytes(size))
        await store.upload("from", some_bytes(size, 600_000 if size > MIB else 2))
        with pytest.raises(PreconditionFailed):
            await other.copy(ObjectRef(store.bucket, "from", planned.etag), "to", info=planned, metadata={})
        assert [] == await keys_of(other.list())

    async def test_a_copy_of_what_is_gone_is_not_found(self, store: ObjectStore, other: ObjectStore) -> None:
        planned = await store.put("from", b"x")
        await store.delete(["from"])
        with pytest.raises(NotFound):
            await other.copy(ObjectRef(store.bucket, "from", planned.etag), "to", info=planned, metadata={})

    async def test_a_listing_comes_in_byte_order_and_over_many_pages(self, store: ObjectStore) -> None:
        keys = [f"p/{n:04d}" for n in range(1001)]
        slots = asyncio.Semaphore(16)

        async def put(key: str) -> None:
            async with slots:
                await store.put_if_absent(key, b"")

        await asyncio.gather(*(put(key) for key in [*reversed(keys), "o", "q", "P/1", "p", "p0"]))
        assert ["P/1", "o", "p", *keys, "p0", "q"] == await keys_of(store.list())
        assert keys == await keys_of(store.list("p/"))
        assert keys[500:] == await keys_of(store.list("p/", start_after="p/0499"))
        deleted = await store.delete(keys)
        assert (tuple(range(1001)), ()) == (deleted.succeeded, deleted.failed)
        assert ["P/1", "o", "p", "p0", "q"] == await keys_of(store.list())

    @pytest.mark.parametrize(
        ("prefix", "start_after", "expected"),
        [
            ("", "", ["a", "a/b", "a/c", "b"]),
            ("a", "", ["a", "a/b", "a/c"]),
            ("a", "a", ["a/b", "a/c"]),
            ("a/", "a/bb", ["a/c"]),
            ("a/", "A", ["a/b", "a/c"]),
            ("a/", "b", []),
            ("", "b", []),
            ("z", "", []),
        ],
    )
    async def test_a_listing_begins_after_a_key_whether_it_exists_or_not(
        self, store: ObjectStore, prefix: str, start_after: str, expected: list[str]
    ) -> None:
        for key in ("b", "a/c", "a", "a/b"):
            await store.put(key, b"x")
        assert expected == await keys_of(store.list(prefix, start_after=start_after))

    async def test_a_listing_tells_size_etag_time_and_class(self, store: ObjectStore) -> None:
        put = await store.put("k", b"12345")
        (listed,) = [info async for info in store.list()]
        assert ("k", 5, put.etag, "STANDARD") == (listed.key, listed.size, listed.etag, listed.storage_class)
        assert listed.modified.tzinfo is not None

    async def test_deleting_what_is_not_there_succeeds(self, store: ObjectStore) -> None:
        await store.put("k", b"")
        report = await store.delete(["no", "k", "k"])
        assert ((0, 1, 2), ()) == (report.succeeded, report.failed)
        assert [] == await keys_of(store.list())
        assert () == (await store.delete([])).succeeded
