from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from pipeline_processing.quality.verdict import CheckResult, Verdict
from pipeline_processing.reports import quality_text
from pipeline_processing.reports.quality_facts import asks, number, outcome, percent
from pipeline_processing.reports.quality_page import render, render_unreadable
from quality_world import HARM, HIDDEN, page

VOID = {"meta", "line", "rect", "br"}


class Tags(HTMLParser):
    """Collects what a page holds, and fails on a tag that does not close."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.links: list[str] = []
        self.texts: list[str] = []
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.links += [f"{name}={value}" for name, value in attrs if name in {"src", "href", "srcset", "action"}]
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def read(html: str) -> Tags:
    tags = Tags()
    tags.feed(html)
    assert [] == tags._open
    return tags


def test_a_page_is_well_formed_and_asks_nobody_for_anything() -> None:
    html = render(page())
    tags = read(html)
    assert [] == tags.links
    assert {"script", "link", "iframe", "img"}.isdisjoint(tags.names)
    assert not re.search(r"url\(|@import", html)
    assert "svg" in tags.names


def test_texts_that_mean_harm_are_shown_as_texts() -> None:
    html = render(page())
    assert HARM not in html
    assert "\x1b" not in html
    assert any(HARM in text for text in read(html).texts)
    assert "roster <script>" not in html


def test_no_value_of_a_classified_column_is_on_the_page_nor_in_the_tables() -> None:
    one = page()
    tables = (quality_text.pairs(one), quality_text.reason_rows(one), quality_text.profile_rows(one.profile))
    assert HIDDEN not in render(one)
    assert HIDDEN not in str(tables)
    assert "Classified: its values are not shown." in render(one)


def test_values_of_an_unclassified_column_are_shown_by_its_reason() -> None:
    reason = replace(page().reasons[0], values=("OFICER",))
    assert "<code>OFICER</code>" in render(replace(page(), reasons=(reason,), strangers={}))


def test_a_row_in_quarantine_has_its_line_or_its_row_in_the_sheet() -> None:
    one = page()
    assert "1 (line 2), 41 (line 42), 1,081 (line 1,083)" in render(one)
    assert "1 (line 2), 41 (line 42), 1,081 (line 1,083)" == quality_text.reason_rows(one)[0][2]
    assert "1 (sheet row 2)" == replace(one, place="sheet row").places(one.reasons[0], 1)
    assert "1, 41" == one.places(replace(one.reasons[0], lines=()), 2)
    assert "a sheet row is the one on which the row begins" in render(replace(one, place="sheet row"))


def test_a_rule_says_what_it_asks_where_its_rows_are_told() -> None:
    one = page()
    assert "ragged<br><span class='soft'>has as many fields as the header</span>" in render(one)
    assert ["is one of OFFICER, SERGEANT", "", "has as many fields as the header"] == [
        row[3] for row in quality_text.reason_rows(one)
    ]
    assert "<td>is one of OFFICER, SERGEANT</td>" in render(one)
    assert "is one of OFFICER, SERGEANT" == quality_text.check_rows(one.verdict, one.asked)[0][2]


def test_all_values_that_are_not_allowed_are_told_with_their_rows_and_what_may_be_meant() -> None:
    one = page()
    assert [("rank", "'OFICER'", 1_234, "OFFICER"), ("rank", repr(HARM), 3, ""), ("rank", "all others", 2, "")] == list(
        quality_text.stranger_rows(one)
    )
    html = render(one)
    assert "<code>OFICER</code></td><td class='number'>1,234</td><td><code>OFFICER</code>" in html
    assert "all others</span></td><td class='number'>2</td>" in html


@pytest.mark.parametrize(
    ("status", "said"), [("warn", "accepted"), ("fail_file", "would be accepted"), ("fail_run", "would be accepted")]
)
def test_no_row_of_a_refused_file_is_accepted(status: str, said: str) -> None:
    refused = replace(page(), verdict=replace(page().verdict, status=status))
    assert f"402 in = 385 {said} + 12 in quarantine + 5 repeated" == quality_text.pairs(refused)["rows"]
    assert f'<i class="out"></i>{said} ' in render(refused)


def test_the_page_of_a_file_that_can_not_be_read_says_why() -> None:
    html = render_unreadable(file=HARM, dataset="roster", contract="police.roster 1.0.0", why=f"{HARM}: a PDF")
    read(html)
    assert HARM not in html
    assert "The file can not be read" in html[: html.index("<main>")]
    assert any(f"{HARM}: a PDF" in text for text in read(html).texts)


def test_rows_that_do_not_add_up_are_said_to() -> None:
    told = "The rows do not add up"
    assert (False, True) == (told in render(page()), told in render(replace(page(), rows_out=1)))


def test_a_file_of_a_hundred_thousand_columns_has_a_page_of_some_of_them() -> None:
    many = tuple(f"column {n}" for n in range(100_000))
    html = render(replace(page(), unread=many, missing=()))
    assert "column 19 and 99,980 more" in html
    assert len(html) < 100_000
    assert "column 19 and 99,980 more" in str(quality_text.pairs(replace(page(), unread=many))["unread columns"])


def test_a_long_value_is_cut() -> None:
    reason = replace(page().reasons[0], values=("x" * 70_000,))
    assert f"<code>{'x' * 100}…</code>" in render(replace(page(), reasons=(reason,)))


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("pass", "Passed"),
        ("warn", "Accepted, with warnings"),
        ("fail_file", "The file is not accepted"),
        ("fail_run", "its run stops"),
    ],
)
def test_the_verdict_stands_at_the_top(status: str, words: str) -> None:
    html = render(replace(page(), verdict=replace(page().verdict, status=status)))
    assert words in html[: html.index("<main>")]


def test_a_page_without_profile_checks_or_rows_is_a_page() -> None:
    empty = replace(
        page(), verdict=Verdict("warn", because=("the file has no rows",)), profile=None, reasons=(), rows_in=0
    )
    html = render(replace(empty, rows_out=0, quarantined=0, deduplicated=0))
    read(html)
    assert "The file has no rows." in html
    assert "The contract has no checks." in html


def test_what_does_not_hold_comes_before_what_passed() -> None:
    names = [row[0] for row in quality_text.check_rows(page().verdict)]
    assert ["rank.enum", HARM, "unit.enum", "badge.unique"] == names
    html = render(page())
    assert html.index("rank.enum</td><td class='state") < html.index("unit.enum</td>") < html.index("badge.unique</td>")


def test_a_terminals_tables_have_a_cell_a_column() -> None:
    one = page()
    assert one.profile is not None
    tables = (
        (quality_text.CHECK_COLUMNS, quality_text.check_rows(one.verdict)),
        (quality_text.REASON_COLUMNS, quality_text.reason_rows(one)),
        (quality_text.PROFILE_COLUMNS, quality_text.profile_rows(one.profile)),
    )
    for columns, rows in tables:
        assert rows
        assert {len(columns)} == {len(row) for row in rows}
    assert "402 in = 385 accepted + 12 in quarantine + 5 repeated" == quality_text.pairs(one)["rows"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1946.0, "1946"), (32449, "32,449"), (0.0, "0"), (0.00012, "0.00012"), (-1.5, "-1.5"), (None, ""), (True, "True")],
)
def test_a_number_reads_as_people_write_it(value: object, expected: str) -> None:
    assert expected == number(value)


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [(0, 5, "0 %"), (5, 5, "100 %"), (9_999, 10_000, "> 99.9 %"), (1, 10_000, "< 0.1 %"), (1, 8, "12.5 %")],
)
def test_a_share_is_never_rounded_to_none_or_all(part: int, whole: int, expected: str) -> None:
    assert expected == percent(part, whole)


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (CheckResult("a", "range", "failed", looked_at=4, failed=1), "1 of 4 (25 %)"),
        (CheckResult("a", "range", "passed", looked_at=4), "none of 4"),
        (CheckResult("a", "range", "skipped", why=("x", "y")), "x, y"),
        (CheckResult("a", "sql", "failed", looked_at=4, figure=7.0, threshold="< 5"), "7; asked: < 5"),
        (CheckResult("drift:a.new_categories", "drift", "warned", figure=1.0, description="DET"), "1: DET"),
    ],
)
def test_a_result_says_what_was_found(result: CheckResult, expected: str) -> None:
    assert expected == outcome(result)


def test_the_contracts_own_words_stand_beside_ours() -> None:
    result = CheckResult("age", "row", "warned", looked_at=2, failed=1, description="Ages fit", files={"warned": 1})
    html = render(replace(page(), verdict=Verdict("warn", (result,))))
    assert "the rule holds in its row<br><span class='soft'>Ages fit</span>" in html
    assert "Ages fit" == quality_text.check_rows(Verdict("warn", (result,)))[0][2]
    assert "is there" == asks(CheckResult("a", "required", "passed"))
