from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from etl_core.objects.limits import check_metadata
from pipeline_processing.processors.get_s3_files.source_metadata import decode, describe, encode, is_of, note

VALUES = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=300)


@given(VALUES)
@example(" leading")
@example("=?UTF-8?B?YQ==?=")
@example("tab\tinside")
def test_any_value_survives_its_travel_through_headers(value: str) -> None:
    check_metadata({"x": encode(value)})
    assert value == decode(encode(value))


def test_plain_values_are_written_as_they_are() -> None:
    assert "a + b %20 (final).pdf" == encode("a + b %20 (final).pdf")


@given(VALUES, st.dictionaries(st.text("abc-", min_size=1, max_size=20), VALUES, max_size=20))
def test_a_copy_s_metadata_always_fit_and_always_name_their_source(key: str, carried: dict[str, str]) -> None:
    metadata = describe("bucket", key, "etag", carried=carried)

    check_metadata(metadata)
    assert is_of(metadata, bucket="bucket", key=key, etag="etag")


def test_what_the_source_carried_is_kept_but_for_what_an_earlier_copy_said() -> None:
    metadata = describe("b", "k", "e", carried={"owner": "ü", "source-key": "older", "source-key-sha256": "older"})

    assert {"owner": "=?UTF-8?B?w7w=?=", "source-bucket": "b", "source-key": "k", "source-etag": "e"} == metadata
    assert "" == note(metadata)


def test_a_key_without_room_is_named_by_its_hash_and_that_is_said() -> None:
    metadata = describe("b", "文" * 341, "e", carried={"x": "y" * 900})

    assert "source-key" not in metadata
    assert 64 == len(metadata["source-key-sha256"])
    assert "y" * 900 == metadata["x"]
    assert "metadata over 2048 bytes: source-key-sha256 stands for source-key" == note(metadata)


def test_carried_values_without_room_are_dropped_longest_first_and_counted() -> None:
    metadata = describe("b", "k", "e", carried={"long": "x" * 1600, "short": "y" * 500})

    assert "long" not in metadata
    assert "y" * 500 == metadata["short"]
    assert note(metadata).endswith("1 of the source's own are dropped")


def test_metadata_of_another_source_are_told_apart() -> None:
    metadata = describe("b", "k", "e", carried={})

    assert [False] * 3 == [
        is_of(metadata, bucket="other", key="k", etag="e"),
        is_of(metadata, bucket="b", key="other", etag="e"),
        is_of(metadata, bucket="b", key="k", etag="other"),
    ]
    assert not is_of({}, bucket="b", key="k", etag="e")
