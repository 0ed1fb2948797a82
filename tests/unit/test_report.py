from __future__ import annotations

import re
from html.parser import HTMLParser

import orjson
import pytest

from etl_core.errors import InvalidData
from pipeline_processing.conservation import Conservation
from pipeline_processing.evidence import Dossier
from pipeline_processing.model import Failure, Item, ItemResult, Marker, Output, Published
from pipeline_processing.reports.failures import EXAMPLES, GROUPS, FailureGroups
from pipeline_processing.reports.page import render
from pipeline_processing.reports.report import OUTPUTS_SHOWN, Report, build
from pipeline_processing.runs import Run

EVIL = "<script>alert('x')</script> & \"quotes\""


def dossier(number: int, *, fingerprint: str = "0" * 12) -> Dossier:
    failure = Failure("Permanent", EVIL, fingerprint, transient=False)
    at = f"2030-01-01T00:00:{number % 60:02d}+00:00"
    return Dossier("r1", f"{number:032x}", "tiny", EVIL, "permanent", failure, 3, "w1", "1.0", at, at, "m", 10)


def report(*, dead: int = 1, outputs: int = 1) -> Report:
    run = Run(
        "r1",
        "tiny",
        {"agency": EVIL},
        "partial",
        "n",
        "2030-01-01T00:00:00+00:00",
        "1.0",
        revision=4,
        commits=("c1",),
        entered={"partial": "2030-01-01T00:01:30+00:00"},
    )
    conservation = Conservation()
    done = Item("tiny", EVIL, {"n": 1}, inputs=3)
    result = ItemResult(done.item_id, "done", {"copied": 2, EVIL: 1}, failed=1)
    marker = Marker("r1", done.item_id, "tiny", EVIL, "n", 1, "w", "1.0", "2030-01-01T00:00:10+00:00", result)
    conservation.add(done, "done", marker)
    groups = FailureGroups()
    for number in range(dead):
        conservation.add(Item("tiny", "b", {"n": number + 2}), "dead")
        groups.add(dossier(number))
    conservation.stray("f" * 32)
    published = Published("c1", changed=True, outputs=(Output("b", EVIL, 1, "e"),) * outputs, counts={"rows": 5})
    return build(run, conservation, groups, published, because=["dead: 1 item (1 input)"])


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
    assert f"dlq redrive --run-id r1 --fingerprint {'0' * 12}" in text
    assert "controller gather tiny --run-id r1" in text


def test_the_page_reads_in_light_and_dark_and_on_paper() -> None:
    text = render(report())
    assert {"prefers-color-scheme: dark", "print"} == set(re.findall(r"@media \(?([a-z-]+(?:: dark)?)", text))


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
