from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import orjson
import pytest

from etl_core.errors import InvalidData
from pipeline_processing.conservation import Conservation
from pipeline_processing.evidence import Dossier
from pipeline_processing.model import Failure, Item, ItemResult, Marker, Output, Problem, Published
from pipeline_processing.problems import KEPT, Problems
from pipeline_processing.reports import summary
from pipeline_processing.reports.failures import EXAMPLES, GROUPS, FailureGroups
from pipeline_processing.reports.page import render
from pipeline_processing.reports.report import OUTPUTS_SHOWN, Report, build
from pipeline_processing.reports.text import moment
from pipeline_processing.runs import Run

if TYPE_CHECKING:
    from collections.abc import Sequence

EVIL = "<script>alert('x')</script> & \"quotes\""


def dossier(number: int, *, fingerprint: str = "0" * 12) -> Dossier:
    failure = Failure("Permanent", EVIL, fingerprint, transient=False)
    at = f"2030-01-01T00:00:{number % 60:02d}+00:00"
    return Dossier("r1", f"{number:032x}", "tiny", EVIL, "permanent", failure, 3, "w1", "1.0", at, at, "m", 10)


def run() -> Run:
    return Run(
        "r1",
        "tiny",
        {"agency": EVIL},
        "partial",
        "n",
        "2030-01-01T00:00:00+00:00",
        "1.0",
        revision=4,
        lane="backfill",
        commits=("c1",),
        entered={"partial": "2030-01-01T00:01:30+00:00"},
    )


def report(
    *, dead: int = 1, outputs: int = 1, problems: Sequence[Problem] = (), failed: int = 1, role: str = "data"
) -> Report:
    conservation = Conservation()
    done = Item("tiny", EVIL, {"n": 1}, inputs=3)
    result = ItemResult(done.item_id, "done", {"copied": 2, EVIL: 1}, failed=failed)
    marker = Marker("r1", done.item_id, "tiny", EVIL, "n", 1, "w", "1.0", "2030-01-01T00:00:10+00:00", result)
    conservation.add(done, "done", marker)
    groups = FailureGroups()
    for number in range(dead):
        conservation.add(Item("tiny", "b", {"n": number + 2}), "dead")
        groups.add(dossier(number))
    conservation.stray("f" * 32)
    published = Published(
        "c1", changed=True, outputs=(Output("b", EVIL, 1, "e", role=role),) * outputs, counts={"rows": 5}
    )
    return build(run(), conservation, groups, published, because=["dead: 1 item (1 input)"], problems=problems)


def test_the_document_says_what_was_counted_and_comes_back_as_it_was() -> None:
    document = report()
    assert orjson.loads(document.encode()) == orjson.loads(Report.decode(document.encode()).encode())
    assert {"items": 1, "inputs": 3} == document.total["done"]
    assert [EVIL, "b"] == [agency["agency_id"] for agency in document.agencies]
    assert (90.0, {"copied": 2, EVIL: 1}) == (document.seconds, document.outcomes)
    assert "f" * 32 in document.warnings[0]


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"v":1}'])
def test_what_is_no_report_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidData):
        Report.decode(body)


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag == self.open.pop()

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_is_well_formed_self_contained_and_quotes_everything() -> None:
    page = Page(render(report()))
    assert [] == page.open
    assert not {"script", "img", "link", "iframe"} & page.tags
    assert not {"src", "href", "onclick", "onload", "style"} & page.attributes
    assert page.text.count(EVIL) >= 4
    assert "url(" not in render(report())


def test_the_page_says_how_to_give_dead_items_back() -> None:
    text = Page(render(report())).text
    assert f"dlq redrive --lane backfill --run-id r1 --fingerprint {'0' * 12}" in text
    assert "controller gather tiny --run-id r1" in text


def test_the_page_reads_in_light_and_dark_on_small_screens_and_on_paper() -> None:
    text = render(report())
    assert {"prefers-color-scheme: dark", "max-width", "print"} == set(
        re.findall(r"@media \(?([a-z-]+(?:: dark)?)", text)
    )


def test_the_page_tells_times_to_the_second_in_utc() -> None:
    text = Page(render(report())).text
    assert "2030-01-01 00:01:30 UTC" in text
    assert [] == re.findall(r"\d{4}-\d\d-\d\dT\d\d", text)


def test_a_time_elsewhere_is_told_in_utc() -> None:
    assert "2030-01-30 22:30:00 UTC" == moment("2030-01-31T00:00:00.987654+01:30")


def test_groups_examples_and_outputs_are_bounded_and_the_rest_is_counted() -> None:
    groups = FailureGroups()
    for number in range(GROUPS + 7):
        for example in range(EXAMPLES + 3 if number == 0 else 1):
            groups.add(dossier(example, fingerprint=f"{number:012x}"))
    largest = groups.largest_first()
    assert (GROUPS, 7) == (len(largest), groups.others)
    assert (EXAMPLES + 3, EXAMPLES) == (largest[0].items, len(largest[0].examples))
    many = report(outputs=OUTPUTS_SHOWN + 5)
    assert (OUTPUTS_SHOWN, 5) == (len(many.outputs), many.outputs_not_shown)


def problems(count: int) -> list[Problem]:
    return [Problem("10", f"file-{number:03d}", "missing", "the source is not there") for number in range(count)]


def said(document: Report) -> str:
    return "\n".join(summary.lines(run(), document, report_at=None))


def test_one_of_a_thing_is_not_told_as_several() -> None:
    one = {**report().total, "planned": {"items": 1, "inputs": 1}}
    assert "1 item (1 input):" in said(replace(report(), total=one))
    assert "2 items (1,000 inputs):" in said(replace(report(), total={**one, "planned": {"items": 2, "inputs": 1_000}}))


def test_the_summary_spells_control_characters_out_wherever_they_come_from() -> None:
    evil = "\x1b[2J"
    document = replace(report(problems=[Problem(evil, evil, "missing", evil)]), outcomes={evil: 1}, warnings=[evil])
    assert "\x1b" not in said(document)
    assert 5 == said(document).count(r"\x1b[2J")


def test_failed_inputs_are_named_with_their_reason_everywhere() -> None:
    document = report(problems=problems(1))
    assert [("file-000", "the source is not there")] == [(one["name"], one["reason"]) for one in document.problems]
    assert "Inputs that failed" in (text := Page(render(document)).text)
    assert "file-000" in text
    assert "missing file-000 (agency 10): the source is not there" in said(document)
    assert "more: see" not in said(document)


def test_names_and_reasons_are_quoted_on_the_page_and_harmless_on_a_terminal() -> None:
    document = report(problems=[Problem(EVIL, f"{EVIL}\x1b[31m\n", "missing", EVIL)])
    assert "script" not in Page(render(document)).tags
    assert Page(render(document)).text.count(EVIL) >= 7
    assert "\x1b" not in said(document)
    assert "\\x1b[31m\\n" in said(document)


def test_of_many_failed_inputs_the_first_are_named_and_the_rest_is_counted() -> None:
    document = report(problems=problems(KEPT), failed=KEPT + 20, role="manifest")
    assert (KEPT, 20) == (len(document.problems), document.problems_not_shown)
    assert "and 20 more: see the manifest" in Page(render(document)).text
    assert "file-009" in said(document)
    assert "file-010" not in said(document)
    assert f"and {KEPT + 10} more: see the manifest" in said(document)


def test_a_job_that_names_no_failed_inputs_gets_a_word_on_where_to_look() -> None:
    assert "1 not named here: see the markers in done/" in said(report())


def test_the_problems_kept_are_the_first_in_order_whatever_order_they_come_in() -> None:
    kept = Problems()
    for problem in reversed(problems(KEPT + 50)):
        kept.add(problem)
    assert tuple(problems(KEPT)) == kept.first()


def test_a_report_of_an_earlier_version_without_failed_inputs_is_still_read() -> None:
    document = orjson.loads(report().encode())
    del document["problems"], document["problems_not_shown"]
    assert () == Report.decode(orjson.dumps(document)).problems


def test_parts_that_gave_way_to_a_later_run_are_said() -> None:
    published = Published("c1", changed=False, counts={"superseded": 2})
    told = build(run(), Conservation(), FailureGroups(), published, because=[])
    assert ["not visible to readers, as a run that was planned later has published them: 2 parts"] == told.warnings
