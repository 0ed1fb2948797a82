"""A plan: which header feeds which column, what a batch becomes, and that batches do not matter."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from itertools import pairwise
from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_core.errors import ConfigError
from one_column import batch, column, planned
from pipeline_processing.contracts.model import LINEAGE, Column, Step, fault
from pipeline_processing.contracts.steps import STEPS
from pipeline_processing.transforms.memo import Memo, by_distinct

if TYPE_CHECKING:
    from pipeline_processing.contracts.model import LogicalType
    from pipeline_processing.model import Json

MANY = (
    Column("id", "integer", sources=("ID",)),
    Column("name", "string", sources=("name",), normalise=(Step("collapse_spaces"), Step("person_name"))),
    Column("born", "date", sources=("born",), normalise=(Step("date", {"order": "MDY"}),)),
    Column("pay", "number", sources=("pay",), physical_type="decimal(12,2)", normalise=(Step("money"),)),
    Column("status", "string", sources=("status",), enum=("active", "retired"), synonyms={"act": "active"}),
    Column("sworn", "boolean", sources=("sworn",)),
    Column("phone", "string", sources=("phone",), normalise=(Step("phone"),)),
    Column("seen", "timestamp", sources=("seen",)),
    Column("shift", "time", sources=("shift",)),
    Column("key", "string", derive="key(id, name)"),
)
HEADER = ("ID", "name", "born", "pay", "status", "sworn", "phone", "seen", "shift")
TEXTS = {
    "ID": ["1", "2.0", "x", None, "99999999999999999999"],
    "name": ["SMITH  JR", "o'brien", " ", "McDonald", None],
    "born": ["1/2/1990", "1990-01-02", "2 Jan 1990", "00/00/0000", ""],
    "pay": ["$1,000.50", "(5)", "5", "5.005", None],
    "status": ["ACTIVE", "act", "Retird", "", "retired"],
    "sworn": ["Y", "n", "?", None, "1"],
    "phone": ["312-744-5000", "1", None, "", "+442079460958"],
    "seen": ["2020-01-02T03:04:05Z", "2020-01-02", "noon", None, ""],
    "shift": ["07:00", "7:00 PM", "x", None, "23:59:59.5"],
}


def test_header_names_are_compared_without_case_blanks_and_punctuation() -> None:
    columns = [Column(name, "string", sources=(source,)) for name, source in (("a", "Last Name"), ("b", "D.O.B."))]
    plan = planned(*columns, header=(" last_NAME", "d-o-b", "other"))
    assert {"a": " last_NAME", "b": "d-o-b"} == plan.sources
    assert ((), ("other",)) == (plan.missing, plan.unread)


def test_the_columns_own_order_of_sources_decides_then_the_exact_name_then_the_leftmost() -> None:
    one = Column("x", "string", sources=("unit", "beat"))
    assert {"x": "Unit"} == planned(one, header=("beat", "Unit")).sources
    assert {"x": "unit"} == planned(one, header=("Unit", "unit", "UNIT")).sources
    assert {"x": "Unit"} == planned(one, header=("Unit", "UNIT")).sources


def test_names_without_a_letter_are_told_apart() -> None:
    plan = planned(Column("x", "string", sources=("#",)), header=("%", "#"))
    assert {"x": "#"} == plan.sources


@pytest.mark.parametrize("name", ["*", "^x$", "^.*$"])
def test_a_header_that_polars_would_take_for_a_pattern_is_a_name(name: str) -> None:
    plan = planned(Column("x", "string", sources=(name,)), header=("x", name))
    assert ["b"] == plan.normalise(batch({"x": ["a"], name: ["b"]}))["x"].to_list()


def test_a_column_without_its_source_is_missing_and_null() -> None:
    plan = planned(column(), Column("born", "date", sources=("dob",)), header=("x", "extra"))
    frame = plan.normalise(batch({"x": ["a"], "extra": ["b"]}))
    assert (("born",), ("extra",)) == (plan.missing, plan.unread)
    assert [None] == frame["born"].to_list()
    assert fault("type", "born") not in frame.columns


def test_one_source_may_feed_two_columns() -> None:
    plan = planned(column("upper"), Column("y", "string", sources=("X",), normalise=(Step("lower"),)))
    assert [("Ab".upper(), "Ab".lower())] == plan.normalise(batch({"x": ["Ab"]})).select("x", "y").rows()


def test_a_normalised_batch_has_the_contracts_columns_then_the_rows_numbers_then_the_faults() -> None:
    plan = planned(*MANY, header=HEADER)
    frame = plan.normalise(batch(TEXTS))
    fallible = ("id", "born", "pay", "sworn", "phone", "seen", "shift")
    assert [*(c.name for c in MANY), "_row", "_line", *(fault("type", name) for name in fallible)] == frame.columns
    assert [1, 2, None, None, None] == frame["id"].to_list()
    assert [False, False, True, False, True] == frame[fault("type", "id")].to_list()
    assert ["Smith Jr", "O'Brien", None, "McDonald", None] == frame["name"].to_list()
    assert [date(1990, 1, 2)] * 3 + [None] * 2 == frame["born"].to_list()
    assert [False, False, False, True, False] == frame[fault("type", "born")].to_list()
    assert ["active", "active", "Retird", None, "retired"] == frame["status"].to_list()
    assert datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC) == frame["seen"][0]
    assert time(19) == frame["shift"][1]
    assert [2, 3, 4, 5, 6] == frame["_line"].to_list()


def test_what_is_published_has_the_plans_schema_and_its_lineage() -> None:
    plan = planned(*MANY, header=HEADER)
    frame = plan.finish(plan.normalise(batch(TEXTS)))
    assert dict(plan.schema) == dict(frame.schema)
    assert list(LINEAGE) == frame.columns[-4:]
    assert ("10", "s3://b/k", "v1", 1) == frame.select(LINEAGE).row(0)


def test_an_empty_batch_has_the_same_schema_as_a_full_one() -> None:
    plan = planned(*MANY, header=HEADER)
    full = plan.normalise(batch(TEXTS))
    empty = plan.normalise(batch(TEXTS).clear())
    assert full.schema == empty.schema
    assert dict(plan.schema) == dict(plan.finish(empty).schema)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_a_row_becomes_the_same_in_whatever_batch_it_comes(data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.tuples(*(st.sampled_from(TEXTS[name]) for name in HEADER)), min_size=1, max_size=12))
    whole = batch(dict(zip(HEADER, map(list, zip(*rows, strict=True)), strict=True)))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(rows)))) | {0, len(rows)})
    one, many = planned(*MANY, header=HEADER), planned(*MANY, header=HEADER)
    parts = [many.normalise(whole[start:end]) for start, end in pairwise(cuts)]
    assert one.normalise(whole).equals(pl.concat(parts))
    assert one.suggestions() == many.suggestions()


def test_a_long_batch_becomes_what_its_rows_become_alone() -> None:
    """A long one takes the short cuts: distinct values once, formats on what is left only."""
    repeated = batch({name: texts * 200 for name, texts in TEXTS.items()})
    plan = planned(*MANY, header=HEADER)
    alone = plan.normalise(batch(TEXTS)).drop("_row", "_line")
    assert pl.concat([alone] * 200).equals(plan.normalise(repeated).drop("_row", "_line"))


def test_a_mistake_in_a_step_names_its_column() -> None:
    with pytest.raises(ConfigError, match=r"column 'x'.*needs the option 'length'"):
        planned(column("pad"))


@pytest.mark.parametrize(("kind", "step"), [("date", "timestamp"), ("time", "date"), ("number", "boolean")])
def test_a_step_of_another_type_than_the_columns_is_refused(kind: LogicalType, step: str) -> None:
    with pytest.raises(ConfigError, match=f"the step '{step}' gives no {kind}"):
        planned(column(step, kind))


def test_an_integer_may_be_an_amount_first() -> None:
    frame = planned(column("money", "integer")).normalise(batch({"x": ["$1,234", "$1.50"]}))
    assert [(1234, False), (None, True)] == frame.select("x", fault("type", "x")).rows()


OWN: dict[str, dict[str, Json]] = {
    "null_if": {"values": ["x"]},
    "pad": {"length": 3},
    "strip_prefix": {"text": "a"},
    "strip_suffix": {"text": "a"},
    "replace": {"pattern": "a+"},
    "date": {"order": "MDY", "excel": True, "max_year": 2017},
    "timestamp": {"order": "DMY", "excel": True},
    "person_name": {"order": "last_first"},
    "number": {"percent": True},
}
KINDS: dict[str, LogicalType] = {
    "date": "date", "timestamp": "timestamp", "time": "time", "integer": "integer", "number": "number",
    "money": "number", "boolean": "boolean",
}  # fmt: skip
HOSTILE = [
    "\x00",
    "1" * 50_000,
    "," * 50_000,
    "-" * 9,
    "9" * 39 + ".99",
    "\u202e\U0001f600",
    "1e-400",
    "%",
    "(",
    "+",
    "\n",
    "$",
]


@pytest.mark.parametrize("step", STEPS)
@settings(deadline=None, max_examples=15)
@given(st.lists(st.one_of(st.none(), st.text(max_size=8), st.sampled_from(HOSTILE)), max_size=9))
def test_no_text_makes_a_step_fail_or_lose_a_row(step: str, texts: list[str | None]) -> None:
    one = column(step, KINDS.get(step, "string"), **OWN.get(step, {}))
    frame = planned(one).normalise(batch({"x": texts}))
    assert len(texts) == frame.height


def test_a_memo_asks_once_a_value_and_forgets_the_oldest() -> None:
    asked: list[str] = []

    def upper(text: str) -> str:
        asked.append(text)
        return text.upper()

    memo = Memo(upper, limit=4)
    assert ["A", "B", None, "A"] == memo(pl.Series(["a", "b", None, "a"])).to_list()
    assert ["A"] == memo(pl.Series(["a"])).to_list()
    assert ["a", "b"] == sorted(asked)
    memo(pl.Series(["c", "d", "e"]))
    memo(pl.Series(["e"]))
    assert 5 == len(asked)
    memo(pl.Series(["a"]))
    assert 6 == len(asked)


def test_distinct_values_are_worked_on_alone_only_where_they_repeat() -> None:
    lengths: list[int] = []

    def shout(texts: pl.Series) -> pl.Series:
        lengths.append(len(texts))
        return texts.str.to_uppercase()

    assert ["A", "A", None, "A"] == by_distinct(pl.Series(["a", "a", None, "a"]), shout).to_list()
    assert ["A", "B", "C"] == by_distinct(pl.Series(["a", "b", "c"]), shout).to_list()
    assert [2, 3] == lengths
