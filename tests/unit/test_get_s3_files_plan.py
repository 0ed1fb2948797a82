"""From attachments to packs: what is pinned, what is one file, what collides."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from etl_core.errors import ConfigError
from etl_core.objects.memory import MemoryBuckets, MemoryStore
from etl_core.testing.fake_clock import FakeClock
from pipeline_processing.processors.agencies import choose
from pipeline_processing.processors.get_s3_files import file_plan
from pipeline_processing.processors.get_s3_files.file_plan import Limits
from pipeline_processing.processors.get_s3_files.s3_files import FileMapping

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from etl_core.objects import ObjectInfo


class Watched(MemoryStore):
    heads: list[str]

    async def head(self, key: str, *, version_id: str | None = None) -> ObjectInfo:
        self.heads.append(key)
        return await super().head(key, version_id=version_id)


def source() -> Watched:
    store = Watched(MemoryBuckets(FakeClock(), versioned=True), "src")
    store.heads = []
    return store


def attachment(
    number: int, key: str, etag: str | None = "e", size: int | None = 1, version: str | None = None
) -> FileMapping:
    return FileMapping(key, attachments=((str(number), None),), size=size, etag=etag, version_id=version)


async def planned(
    store: MemoryStore,
    *found: FileMapping,
    max_items: int = 100,
    max_bytes: int = 1000,
    forbidden: str | None = None,
) -> list[list[FileMapping]]:
    async def each() -> AsyncIterator[FileMapping]:
        for mapping in found:
            yield mapping

    packs = file_plan.packs(
        each(),
        agency_id="10",
        source=store,
        source_prefix="10/",
        destination_prefix="",
        limits=Limits(max_items, max_bytes),
        forbidden=forbidden,
    )
    return [pack async for pack in packs]


async def flat(store: MemoryStore, *found: FileMapping, max_items: int = 100) -> list[FileMapping]:
    return [mapping for pack in await planned(store, *found, max_items=max_items) for mapping in pack]


async def test_the_order_of_the_database_does_not_show_in_the_packs() -> None:
    found = [attachment(number, f"10/{number}") for number in range(50)]

    assert await planned(source(), *found, max_items=7) == await planned(source(), *reversed(found), max_items=7)


async def test_only_what_the_database_does_not_know_is_looked_up() -> None:
    store = source()
    info = await store.put("10/b", b"abc")

    known, unknown = await flat(store, attachment(1, "10/a"), attachment(2, "10/b", None, None))

    assert ["10/b"] == store.heads
    assert ("e", 1) == (known.etag, known.size)
    assert (info.etag, 3, None) == (unknown.etag, unknown.size, unknown.version_id)


async def test_look_ups_ahead_change_neither_the_order_nor_any_file() -> None:
    store = source()
    for number in range(0, 100, 3):
        await store.put(f"10/{number:03d}", b"abc")
    found = [attachment(n, f"10/{n:03d}", *(("e", 1) if n % 3 else (None, None))) for n in range(100)]

    mappings = await flat(store, *found)

    assert [f"10/{number:03d}" for number in range(100)] == [mapping.source_key for mapping in mappings]
    assert [(n % 3 != 0, n % 3 == 0) for n in range(100)] == [(m.etag == "e", m.size == 3) for m in mappings]
    assert 34 == len(store.heads)


async def test_an_etag_that_the_database_knows_stays_even_when_the_source_has_another() -> None:
    store = source()
    await store.put("10/a", b"abc")

    (mapping,) = await flat(store, attachment(1, "10/a", "older", None))

    assert ("older", 3) == (mapping.etag, mapping.size)


async def test_a_source_that_is_missing_at_plan_is_still_an_input() -> None:
    (mapping,) = await flat(source(), attachment(1, "10/a", None, None))

    assert ("missing", (("1", None),)) == (mapping.verdict, mapping.attachments)


async def test_attachments_of_one_source_are_one_file() -> None:
    (mapping,) = await flat(source(), attachment(2, "10/a"), attachment(1, "10/a"))

    assert (("1", None), ("2", None)) == mapping.attachments


async def test_a_source_of_very_many_attachments_does_not_make_an_endless_item() -> None:
    mappings = await flat(source(), *[attachment(number, "10/a") for number in range(25)], max_items=10)

    assert [10, 10, 5] == [len(mapping.attachments) for mapping in mappings]


async def test_two_sources_with_one_destination_collide_and_the_first_gets_it() -> None:
    mappings = await flat(source(), attachment(1, "a"), attachment(2, "10/a"), attachment(3, "b"))

    assert [("10/a", None), ("a", "collision"), ("b", None)] == [(m.source_key, m.verdict) for m in mappings]


async def test_two_versions_of_one_key_collide_too() -> None:
    mappings = await flat(source(), attachment(1, "10/a", "e1", 1, "v1"), attachment(2, "10/a", "e2", 1, "v2"))

    assert [None, "collision"] == [mapping.verdict for mapping in mappings]


async def test_a_missing_source_does_not_take_a_destination_from_one_that_is_there() -> None:
    store = source()
    await store.put("a", b"abc")

    mappings = await flat(store, attachment(1, "10/a", None, None), attachment(2, "a", None, None))

    assert [("10/a", "missing"), ("a", None)] == [(m.source_key, m.verdict) for m in mappings]


async def test_two_etags_of_one_key_do_not_collide_as_at_most_one_of_them_holds() -> None:
    mappings = await flat(source(), attachment(1, "10/a", "e1"), attachment(2, "10/a", "e2"))

    assert [("e1", None), ("e2", None)] == [(mapping.etag, mapping.verdict) for mapping in mappings]


@pytest.mark.parametrize(
    ("key", "verdict"), [("10/" + "x" * 1021, "key_too_long"), ("x" * 1025, "key_too_long"), ("", "unsafe_key")]
)
async def test_a_key_that_can_not_be_is_an_input_with_a_verdict(key: str, verdict: str) -> None:
    (mapping,) = await flat(source(), attachment(1, key))

    assert (verdict, "", True) == (mapping.verdict, mapping.destination_key, "bytes" in mapping.reason)


async def test_a_key_from_the_database_can_not_climb_out_of_its_agency() -> None:
    (mapping,) = await flat(source(), attachment(1, "10/../../11/attachments/x"))

    assert "10/attachments/%2E%2E/%2E%2E/11/attachments/x" == mapping.destination_key


async def test_a_source_in_the_folder_that_is_written_into_is_an_input_that_is_not_copied() -> None:
    found = [attachment(1, "10/a"), attachment(2, "out/10/attachments/a"), attachment(3, "outer/a")]

    (pack,) = await planned(source(), *found, forbidden="out/")

    expected = {"10/a": None, "out/10/attachments/a": "unsafe_key", "outer/a": None}
    assert expected == {mapping.source_key: mapping.verdict for mapping in pack}
    assert ["", "10/attachments/a", "10/attachments/outer/a"] == [mapping.destination_key for mapping in pack]


async def test_packs_keep_their_limits() -> None:
    found = [attachment(number, f"10/{number}", size=400) for number in range(5)]

    assert [2, 2, 1] == [len(pack) for pack in await planned(source(), *found)]


async def test_a_listing_names_its_objects_as_they_are() -> None:
    store = source()
    for key in ("10/a", "10/b/", "11/a", "100/a"):
        await store.put(key, b"x")

    found = [mapping.source_key async for mapping in file_plan.found_in_bucket(store, "10/")]

    assert ["10/a", "10/b/"] == found


async def test_agencies_are_found_in_a_listing_by_their_folders() -> None:
    store = source()
    for key in ("in/10/a", "in/10/\U0010ffff/odd", "in/100/b/c", "in/README", "in/zz/q", "other/9/a", "in//no"):
        await store.put(key, b"x")

    found = [agency async for agency in file_plan.agencies_in_bucket(store, "in/{agency_id}/")]

    assert ["10", "100", "zz"] == found


async def test_a_template_that_does_not_end_the_agency_s_folder_finds_no_agencies() -> None:
    with pytest.raises(ConfigError, match="can not be told apart"):
        [agency async for agency in file_plan.agencies_in_bucket(source(), "{agency_id}")]


def test_an_unknown_agency_is_told_what_may_have_been_meant() -> None:
    with pytest.raises(ConfigError) as caught:
        choose(["1O0", "zzz"], {"100": "Springfield", "11": "Shelbyville"}, where="the database")

    expected = "--agency-id: '1O0' is unknown, did you mean 100 (Springfield)?; 'zzz' is unknown"
    assert f"{expected} (2 agencies are in the database)" == str(caught.value)


def test_an_agency_s_name_leads_to_its_id() -> None:
    with pytest.raises(ConfigError, match=r"did you mean 11 \(Shelbyville\)\?"):
        choose(["shelbyvile"], {"10": "Springfield", "11": "Shelbyville"}, where="the database")


def test_no_agency_at_all_is_never_green() -> None:
    with pytest.raises(ConfigError, match="there is no agency"):
        choose([], {}, where="the database")
