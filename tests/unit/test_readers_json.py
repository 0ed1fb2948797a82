from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_processing.contracts.model import Format
from pipeline_processing.readers.json_text import JsonText, Record
from pipeline_processing.readers.json_values import cell, read_object
from pipeline_processing.readers.open_file import open_file

if TYPE_CHECKING:
    from pathlib import Path

SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner))
HOSTILE = '[{"a":"]}\\"{"},\n {"b":[1,{"c":2}],},17,{"d":1,"d":2},"x\\\\",null,{"e":1e5}]'


def pieces(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def records(text: str, size: int, path: tuple[str, ...] | None = None) -> list[Record]:
    return list(JsonText(iter(pieces(text, size)), "f").records(path))


def plain(found: list[Record]) -> list[tuple[int, str, object]]:
    return [(one.line, one.text, one.fault.reason if one.fault else one.value) for one in found]


def test_each_bad_element_is_a_record_of_its_own_wherever_the_text_is_cut() -> None:
    whole = plain(records(HOSTILE, len(HOSTILE)))
    reasons = ["bad json", "not an object", "duplicate key", "not an object", "not an object"]
    assert reasons == [what for _, _, what in whole if isinstance(what, str)]
    assert ['{"a":"]}\\"{"}', '{"b":[1,{"c":2}],}'] == [text for _, text, _ in whole[:2]]
    for size in range(1, 40):
        assert whole == plain(records(HOSTILE, size))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.dictionaries(st.text(max_size=4), VALUES, max_size=4), max_size=5), st.integers(1, 50))
def test_the_elements_of_an_array_come_as_they_are(objects: list[dict[str, object]], size: int) -> None:
    text = json.dumps({"other": {"x": [1]}, "rows": objects, "last": "]"})
    found = records(text, size, ("rows",))
    wanted = [one for one in objects if "\0" not in json.dumps(one).replace("\\u0000", "\0")]
    assert wanted == [json.loads(one.text) for one in found if one.fault is None]
    assert len(objects) == len(found)


def test_numbers_keep_their_digits() -> None:
    value = read_object('{"a":123456789012345678901234567890,"b":1.10,"c":-0,"d":1e400,"e":NaN,"f":[1.50,{"g":2.0}]}')
    assert ["123456789012345678901234567890", "1.10", "-0", "1e400", "NaN", '[1.50,{"g":2.0}]'] == [
        cell(one) for one in value.values()
    ]


def test_records_on_one_line_keep_their_order_among_rejects(tmp_path: Path) -> None:
    (tmp_path / "f.json").write_text('[{"a":1},2,{"a":3},[],{"a":5}]')
    with open_file(tmp_path / "f.json") as rows:
        (batch,) = rows
    assert [1, 3, 5] == batch.frame["_row"].to_list()
    assert [2, 4] == [reject.row for reject in batch.rejects]


def test_a_key_that_only_a_late_record_has_is_a_column(tmp_path: Path) -> None:
    lines = [json.dumps({"id": i}) for i in range(5000)] + ['{"id":5000,"late":"x"}']
    (tmp_path / "f.ndjson").write_text("\n".join(lines))
    with open_file(tmp_path / "f.ndjson") as rows:
        assert ("id", "late") == rows.header
        assert ["x"] == [text for batch in rows for text in batch.frame["late"].drop_nulls().to_list()]


def test_a_path_leads_to_an_array_however_deep(tmp_path: Path) -> None:
    (tmp_path / "f.json").write_text('{"a":{"skip":[{"x":"}"}],"b":{"c":[{"id":1},{"id":2}]}},"z":0}')
    with open_file(tmp_path / "f.json", Format(records="a.b.c")) as rows:
        assert [("1", 1, 1), ("2", 2, 1)] == [row for batch in rows for row in batch.frame.rows()]


def test_one_object_over_several_lines_is_one_record(tmp_path: Path) -> None:
    (tmp_path / "f.json").write_text(json.dumps({"id": 1, "name": "Ann"}, indent=2))
    with open_file(tmp_path / "f.json") as rows:
        assert [("1", "Ann", 1, 1)] == [row for batch in rows for row in batch.frame.rows()]
