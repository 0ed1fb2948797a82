from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from etl_core.errors import ConfigError
from pipeline_processing.processors.get_s3_files.destination import (
    UnfitName,
    agency_folder,
    attachment_key,
    attachments_folder,
    catalog_key,
    clean_prefix,
    content_key,
    relative_name,
)

SEGMENTS = st.one_of(
    st.sampled_from(
        [".", "..", "", "%2E", "%2E%2E", "%252E", "%25%2E", "%2E.", ".%2E", "%252E%25252E", "%2e", "a", "%"]
    ),
    st.text(alphabet="%25E./a", max_size=12),
    st.text(max_size=20),
)
NAMES = st.lists(SEGMENTS, min_size=1, max_size=6).map("/".join)


def key_or_none(name: str, agency_id: str = "10") -> str | None:
    try:
        return attachment_key("out", agency_id, name)
    except UnfitName:
        return None


@given(NAMES, NAMES)
@example("..", "%2E%2E")
@example("%2E", "%252E")
@example(".", "%2E")
@example("a", "/a")
@example("a", "a/")
@example("a//b", "a/b")
def test_two_names_never_share_a_destination(one: str, other: str) -> None:
    keys = key_or_none(one), key_or_none(other)

    assert (one == other) == (keys[0] == keys[1]) or None in keys


@given(NAMES)
@example("../../11/attachments/x")
@example("/../..")
@example("./..")
def test_no_name_leaves_its_agency_s_folder(name: str) -> None:
    key = key_or_none(name)

    if key is not None:
        assert key.startswith(attachments_folder("out", "10"))
        assert not {".", ".."} & set(key.split("/"))


@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
@example("a/b", "a%2Fb")
@example("..", "%2E%2E")
def test_two_agencies_never_share_a_folder_nor_is_one_inside_another(one: str, other: str) -> None:
    folders = agency_folder("out", one), agency_folder("out", other)

    assert (one == other) == folders[1].startswith(folders[0])
    assert [2, 2] == [folder.count("/") for folder in folders]


@pytest.mark.parametrize(
    "name",
    [
        "with spaces and  more .pdf",
        "  leading",
        "ünï/çødé/文書.txt",
        "a+b%20c%.txt",
        "..hidden..",
        "a..b/...",
        "folder/",
        "/absolute",
        "twice//slashed",
        "#hash?query=1&x=2.json",
        "quote\"s and 's\\",
        "tab\tnewline\n",
    ],
)
def test_odd_names_are_kept_exactly(name: str) -> None:
    assert f"out/10/attachments/{name}" == attachment_key("out", "10", name)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("..", "%2E%2E"),
        ("a/../b", "a/%2E%2E/b"),
        ("./a", "%2E/a"),
        ("%2E%2E", "%252E%252E"),
        ("%252E", "%25252E"),
        ("%2E%2E/x", "%252E%252E/x"),
        ("%2e", "%2e"),
        ("a%2E", "a%2E"),
    ],
)
def test_only_dot_segments_and_what_looks_like_their_escapes_are_rewritten(name: str, kept: str) -> None:
    assert f"10/attachments/{kept}" == attachment_key("", "10", name)


def test_a_key_of_1024_bytes_fits_and_one_more_does_not() -> None:
    room = 1024 - len("10/attachments/")

    assert 1024 == len(attachment_key("", "10", "ü" * (room // 2) + "x" * (room % 2)).encode())
    with pytest.raises(UnfitName, match="1025 bytes") as caught:
        attachment_key("", "10", "x" * (room + 1))
    assert "key_too_long" == caught.value.status


@pytest.mark.parametrize("name", ["nul\0", "\ud800"])
def test_a_name_that_no_key_can_hold_is_unsafe(name: str) -> None:
    with pytest.raises(UnfitName) as caught:
        attachment_key("", "10", name)
    assert "unsafe_key" == caught.value.status


def test_the_source_prefix_is_taken_off_only_where_it_is() -> None:
    assert "a/b" == relative_name("10/a/b", "10/")
    assert "11/a" == relative_name("11/a", "10/")


def test_the_other_keys_are_in_the_agency_s_folder_and_named_by_content() -> None:
    digest = "0123456789abcdef" * 4

    assert "p/10/employment_history/0123456789abcdef0123456789abcdef.csv" == content_key(
        "p", "10", "employment_history", digest, "csv"
    )
    assert ["catalog.json", "p/catalog.json"] == [catalog_key(""), catalog_key("p")]


@pytest.mark.parametrize(("given_prefix", "clean"), [("", ""), ("/", ""), ("a/b/", "a/b"), ("/a", "a")])
def test_a_prefix_loses_its_outer_slashes(given_prefix: str, clean: str) -> None:
    assert clean == clean_prefix(given_prefix)


@pytest.mark.parametrize("prefix", ["a//b", "..", "a/../b", "./a"])
def test_a_prefix_that_climbs_or_has_holes_is_refused(prefix: str) -> None:
    with pytest.raises(ConfigError, match="empty or dot segment"):
        clean_prefix(prefix)


@pytest.mark.parametrize("prefix", ["a/attachments", "attachments/b", "a/employment_history/b/"])
def test_a_prefix_in_a_folder_of_copies_is_refused(prefix: str) -> None:
    with pytest.raises(ConfigError, match=r"call no segment (attachments|employment_history)"):
        clean_prefix(prefix)


def test_an_agency_that_is_called_as_a_folder_of_copies_gets_another() -> None:
    assert ["p/%61ttachments/", "p/%2561ttachments/"] == [
        agency_folder("p", i) for i in ("attachments", "%61ttachments")
    ]
