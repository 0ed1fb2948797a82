from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import polars as pl
import pytest

from etl_core.errors import InvalidData, Permanent
from pipeline_processing.contracts.model import Check, Column, Contract, Dedupe, QuarantinePolicy, Step
from pipeline_processing.processors.refining import refine as refining
from pipeline_processing.processors.refining.refine import Interrupted, open_rows, refine
from pipeline_processing.quarantine.schema import SCHEMA, quarantine_id
from pipeline_processing.readers import Batch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline_processing.processors.refining.refined import Refined
    from pipeline_processing.readers import Rows

ROOT = Path(__file__).parents[2]

CONTRACT = Contract(
    id="people",
    version="1.0.0",
    dataset="people",
    fingerprint="00112233445566aa",
    columns=(
        Column("id", "integer", sources=("Id",)),
        Column("name", "string", sources=("Name",), normalise=(Step("trim"),), classification="restricted"),
        Column("hired", "date", sources=("Hired",)),
        Column("unit", "string", sources=("Unit",), enum=("north", "south")),
    ),
    checks=(
        Check("id.type", "type", "id"),
        Check("id.required", "required", "id"),
        Check("hired.type", "type", "hired"),
        Check("unit.enum", "enum", "unit"),
        Check("name.required", "required", "name", action="warn"),
    ),
)
PEOPLE = """\
Id,Name,Hired,Unit,Note
1, Ann Canary ,2001-02-03,north,a
x,Bob Canary,never,west,b
2,,2002-02-03,south,c
3,cut off
4,Dee Canary,2004-02-03,south,d
"""


def refined(tmp_path: Path, text: str | bytes = PEOPLE, contract: Contract = CONTRACT, **changes: Any) -> Refined:  # noqa: ANN401 - any argument
    path = tmp_path / changes.pop("name", "people.csv")
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    given: dict[str, Any] = {
        "into": tmp_path / "out",
        "source": "s3://bronze/people.csv",
        "source_version": "v7",
        "agency_id": "10",
        "today": date(2026, 1, 1),
        "footer": {"pipeline.run": "r1"},
    }
    return refine(path, contract, **{**given, **changes})


def rows_of(result: Refined) -> list[dict[str, Any]]:
    return [row for output in result.outputs for row in pl.read_parquet(output.path).to_dicts()]


def quarantined_of(result: Refined) -> list[dict[str, Any]]:
    assert result.quarantine is not None
    return pl.read_parquet(result.quarantine).sort("source_row").to_dicts()


def counts_of(result: Refined) -> tuple[int, int, int, int]:
    return result.rows_in, result.rows_out, result.quarantined, result.deduplicated


def with_columns(**changes: dict[str, Any]) -> Contract:
    return replace(CONTRACT, columns=tuple(replace(c, **changes.get(c.name, {})) for c in CONTRACT.columns))


def test_rows_that_pass_are_written_typed_with_their_lineage(tmp_path: Path) -> None:
    result = refined(tmp_path)
    first, *_ = rows_of(result)
    assert {
        "id": 1,
        "name": "Ann Canary",
        "hired": date(2001, 2, 3),
        "unit": "north",
        "_source_file": "s3://bronze/people.csv",
        "_source_version": "v7",
        "_source_row": 1,
    } == first
    assert [{"_agency_id": "10"}] == [output.partition for output in result.outputs]
    assert [1, 3, 5] == [row["_source_row"] for row in rows_of(result)]


def test_every_row_is_accounted_for(tmp_path: Path) -> None:
    assert (5, 3, 2, 0) == counts_of(refined(tmp_path))


def test_a_row_that_fails_is_quarantined_with_all_its_rules_and_its_raw_row(tmp_path: Path) -> None:
    row = next(row for row in quarantined_of(refined(tmp_path)) if row["source_row"] == 2)
    raw = json.loads(row["raw"])
    assert {"Id": "x", "Name": "Bob Canary", "Hired": "never", "Unit": "west", "Note": "b"} == raw
    assert {
        "quarantine_id": quarantine_id("s3://bronze/people.csv", "v7", 2),
        "dataset": "people",
        "contract_version": "1.0.0",
        "contract_fingerprint": "00112233445566aa",
        "agency_id": "10",
        "source_file": "s3://bronze/people.csv",
        "source_version": "v7",
        "source_row": 2,
        "line": 3,
        "rules": ["id.type", "hired.type", "unit.enum"],
        "reason": "id.type, hired.type, unit.enum",
        "raw": row["raw"],
        "raw_bytes": None,
        "raw_sha256": hashlib.sha256(row["raw"].encode()).hexdigest(),
        "released_from": None,
    } == row


def test_a_record_that_is_no_row_is_quarantined_with_its_bytes(tmp_path: Path) -> None:
    row = next(row for row in quarantined_of(refined(tmp_path)) if row["source_row"] == 4)
    assert (["reader.ragged"], 5, None) == (row["rules"], row["line"], row["raw"])
    assert b"3,cut off" == row["raw_bytes"].rstrip()
    assert hashlib.sha256(row["raw_bytes"]).hexdigest() == row["raw_sha256"]


def test_the_quarantine_has_the_columns_that_all_readers_of_it_know(tmp_path: Path) -> None:
    result = refined(tmp_path)
    assert result.quarantine is not None
    assert dict(SCHEMA) == dict(pl.read_parquet_schema(result.quarantine))
    expected = {"hired.type": 1, "id.type": 1, "reader.ragged": 1, "unit.enum": 1}
    assert expected == result.quarantined_by


def test_a_file_without_a_fault_has_no_quarantine(tmp_path: Path) -> None:
    result = refined(tmp_path, "Id,Name,Hired,Unit\n1,Ann,2001-02-03,north\n")
    assert (None, "pass") == (result.quarantine, result.verdict.status)


def test_a_warning_takes_no_row_out(tmp_path: Path) -> None:
    result = refined(tmp_path)
    assert {"name.required": ("warned", 1)} == {
        check.name: (check.status, check.failed) for check in result.verdict.results if check.name == "name.required"
    }
    assert None in [row["name"] for row in rows_of(result)]


def test_protected_values_are_in_clear_nowhere(tmp_path: Path) -> None:
    contract = with_columns(name={"protection": "tokenise", "sources": ("Name", "Full Name")})
    text = "Id,Name,Full Name,Hired,Unit\n1,Canary,Canary,2001-02-03,north\nx,Canary,Canary,,north\n9,Canary\n"
    result = refined(tmp_path, text, contract, token_key=b"key")
    (row,) = rows_of(result)
    assert row["name"].startswith("tok_")
    failed, ragged = quarantined_of(result)
    assert row["name"] == json.loads(failed["raw"])["Name"]
    assert (None, None) == (ragged["raw"], ragged["raw_bytes"])
    assert 64 == len(ragged["raw_sha256"])
    found = [path for path in result.folder.rglob("*") if path.is_file()]
    assert 2 == len(found)
    for path in found:
        assert "Canary" not in str(pl.read_parquet(path).to_dicts())


def test_the_account_holds_no_value_of_a_classified_column(tmp_path: Path) -> None:
    result = refined(tmp_path)
    assert "Canary" not in json.dumps(result.as_json())
    assert {"name"} == {"id", "name", "hired", "unit"} - set(result.outputs[0].stats["nullCount"])


def test_the_quarantine_keeps_no_raw_row_where_the_contract_says_so(tmp_path: Path) -> None:
    result = refined(tmp_path, contract=replace(CONTRACT, quarantine=QuarantinePolicy(keep_raw=False)))
    assert [(None, None)] * 2 == [(row["raw"], row["raw_bytes"]) for row in quarantined_of(result)]
    assert all(row["raw_sha256"] for row in quarantined_of(result))


def test_more_quarantined_rows_than_the_contract_takes_fail_the_file(tmp_path: Path) -> None:
    result = refined(tmp_path, contract=replace(CONTRACT, quarantine=QuarantinePolicy(max_share=0.3)))
    assert "fail_file" == result.verdict.status


def test_of_rows_with_one_key_the_first_by_the_contracts_order_stays(tmp_path: Path) -> None:
    text = (
        "Id,Name,Hired,Unit\n1,a,2001-01-01,north\n2,b,2001-01-01,north\n1,c,2003-01-01,north\n1,d,2002-01-01,north\n"
    )
    result = refined(tmp_path, text, replace(CONTRACT, dedupe=Dedupe(("id",), (("hired", True),))))
    assert ["b", "c"] == [row["name"] for row in rows_of(result)]
    assert (4, 2, 0, 2) == counts_of(result)


def test_without_a_column_of_the_key_no_row_goes_and_the_file_fails(tmp_path: Path) -> None:
    """All keys would be equal, and one row be left."""
    contract = replace(CONTRACT, dedupe=Dedupe(("hired", "id")))
    result = refined(tmp_path, "Id,Name,Unit\n1,a,north\n1,b,north\n", contract)
    assert ((2, 2, 0, 0), "fail_file") == (counts_of(result), result.verdict.status)
    assert "the dedupe key's column hired is missing" in result.verdict.because


def test_a_quarantined_row_takes_no_other_row_out(tmp_path: Path) -> None:
    text = "Id,Name,Hired,Unit\n1,a,2001-01-01,west\n1,b,2001-01-01,north\n"
    result = refined(tmp_path, text, replace(CONTRACT, dedupe=Dedupe(("id",))))
    assert (["b"], (2, 1, 1, 0)) == ([row["name"] for row in rows_of(result)], counts_of(result))


def test_rows_that_fail_a_check_of_the_whole_file_leave_with_their_raw_rows(tmp_path: Path) -> None:
    contract = replace(with_columns(id={"unique": True}), checks=(*CONTRACT.checks, Check("id.unique", "unique", "id")))
    text = "Id,Name,Hired,Unit\n1,a,2001-01-01,north\n2,b,2001-01-01,north\n 1,c,2003-01-01,north\n3,d,2002-01-01,up\n"
    result = refined(tmp_path, text, contract)
    assert ["b"] == [row["name"] for row in rows_of(result)]
    assert (4, 1, 3, 0) == counts_of(result)
    assert [(1, ["id.unique"], "1"), (3, ["id.unique"], " 1"), (4, ["unit.enum"], "3")] == [
        (row["source_row"], row["rules"], json.loads(row["raw"])["Id"]) for row in quarantined_of(result)
    ]


def test_keys_are_checked_on_the_rows_that_dedupe_left(tmp_path: Path) -> None:
    contract = replace(
        with_columns(id={"unique": True}),
        checks=(*CONTRACT.checks, Check("id.unique", "unique", "id")),
        dedupe=Dedupe(("id",)),
    )
    result = refined(tmp_path, "Id,Name,Hired,Unit\n1,a,2001-01-01,north\n1,b,2001-01-01,north\n", contract)
    assert (2, 1, 0, 1) == counts_of(result)


def test_rows_are_split_by_the_contracts_partition_columns(tmp_path: Path) -> None:
    result = refined(tmp_path, contract=with_columns(unit={"partition_position": 1}))
    assert [({"unit": "north"}, 1), ({"unit": "south"}, 2)] == [(o.partition, o.rows) for o in result.outputs]
    assert {"10"} == {row["_agency_id"] for row in rows_of(result)}


@pytest.mark.parametrize("text", ["Id,Name,Hired,Unit\n", "Id,Name,Hired,Unit\n1,cut\n"], ids=["header", "reject"])
def test_a_file_without_rows_is_one_empty_file_and_no_green_one(tmp_path: Path, text: str) -> None:
    result = refined(tmp_path, text)
    assert ([], "warn") == (rows_of(result), result.verdict.status)
    assert 1 == len(result.outputs)


def test_missing_and_unread_columns_are_named(tmp_path: Path) -> None:
    result = refined(tmp_path, "id,NAME,Extra\n1,a,b\n")
    assert (("hired", "unit"), ("Extra",)) == (result.missing, result.unread)
    assert [None] == [row["unit"] for row in rows_of(result)]


def test_an_unknown_column_fails_the_file_where_the_contract_says_so(tmp_path: Path) -> None:
    result = refined(tmp_path, contract=replace(CONTRACT, unknown_columns="fail_file"))
    assert "fail_file" == result.verdict.status
    assert "columns that the contract does not know: Note" in result.verdict.because
    assert {"fail_file": 1} == result.verdict.files


def test_a_header_that_is_none_of_ours_is_not_shown_for_it_may_be_a_row(tmp_path: Path) -> None:
    text = "7,Canary,2001-02-03,north\n8,Canary,2001-02-03,north\n"
    result = refined(tmp_path, text, replace(CONTRACT, unknown_columns="fail_file"))
    assert "Canary" not in json.dumps(result.as_json())


class Losing:
    """Rows of which the last record is not given: a reader with a fault."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.header, self.dialect, self.skipped = rows.header, rows.dialect, rows.skipped

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.rows:
            yield Batch(batch.frame.tail(-1), batch.rejects)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.rows.__exit__(*_)


def test_a_reader_that_leaves_a_record_out_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refining, "open_rows", lambda path, contract: Losing(open_rows(path, contract)))
    with pytest.raises(Permanent, match="lost or made records"):
        refined(tmp_path)


def test_a_compressed_file_gives_the_same_bytes(tmp_path: Path) -> None:
    plain = refined(tmp_path)
    packed = refined(tmp_path, gzip.compress(PEOPLE.encode()), name="people.csv.gz", into=tmp_path / "again")
    assert [o.sha256 for o in plain.outputs] == [o.sha256 for o in packed.outputs]
    assert "gzip" in str(packed.dialect.compression).replace("gz", "gzip")


def test_progress_is_told_and_a_stop_is_heard(tmp_path: Path) -> None:
    told: list[int] = []
    refined(tmp_path, on_progress=told.append)
    assert [5] == told
    stop = threading.Event()
    stop.set()
    with pytest.raises(Interrupted):
        refined(tmp_path, stop=stop, into=tmp_path / "stopped")
    assert not (tmp_path / "stopped").exists()


def test_a_stop_after_the_last_batch_is_heard_too(tmp_path: Path) -> None:
    stop = threading.Event()
    with pytest.raises(Interrupted):
        refined(tmp_path, stop=stop, on_progress=lambda _: stop.set())
    assert [] == list((tmp_path / "out").iterdir())


class Counted(threading.Event):
    """Is set from the look with the number ``at`` on; counts who looked, by the function that did."""

    def __init__(self, at: int | None = None) -> None:
        super().__init__()
        self.at, self.looks = at, list[str]()

    def is_set(self) -> bool:
        self.looks.append(sys._getframe(2).f_code.co_name)  # of who called the one that calls this
        return self.at is not None and len(self.looks) > self.at


def test_a_stop_is_looked_for_in_every_phase_and_ends_each(tmp_path: Path) -> None:
    unique = Check("id.unique", "unique", "id")
    contract = replace(
        with_columns(unit={"partition_position": 1}),
        dedupe=Dedupe(("id", "hired")),
        checks=(*CONTRACT.checks, unique),
    )
    text = PEOPLE + "4,Dee Canary,2005-02-03,south,d\n4,Dee Canary,2004-02-03,south,e\n"
    calm = Counted()
    refined(tmp_path, text, contract, stop=calm)
    phases = {name: calm.looks.index(name) for name in calm.looks}
    looking = (
        "refine _candidates frames check_whole_file whole_file _quarantine_again measure write _write_split result"
    )
    assert {*looking.split()} == {*phases}
    for name, at in phases.items():
        with pytest.raises(Interrupted):
            refined(tmp_path, text, contract, stop=Counted(at), into=tmp_path / name)
        assert not (tmp_path / name / "scratch").exists()


def test_what_can_not_be_read_is_invalid_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InvalidData):
        refined(tmp_path, b"\x1f\x8b\x08\x00cut", name="people.csv.gz")
    assert [] == list((tmp_path / "out").iterdir())


def test_an_account_that_does_not_add_up_is_never_given(tmp_path: Path) -> None:
    result = refined(tmp_path)
    with pytest.raises(Permanent, match="rows are lost or made: 6 went in"):
        replace(result, rows_in=6)
    with pytest.raises(Permanent):
        replace(result, outputs=())


PROGRAM = """
import sys
from datetime import date
from pathlib import Path
from pipeline_processing.processors.refining.refine import refine
from tests.bench import dirty

folder = Path(sys.argv[1])
dirty.write(folder / "dirty.csv", 150_000)
result = refine(folder / "dirty.csv", dirty.contract(), into=folder / "out", source="s3://b/k", source_version="1",
                agency_id="10", today=date(2026, 1, 1), footer={"pipeline.run": "r1"})
print(result.rows_in, result.rows_out, result.quarantined, result.deduplicated)
print(*(output.sha256 for output in result.outputs))
import hashlib
print(hashlib.sha256(result.quarantine.read_bytes()).hexdigest())
"""


def test_the_same_file_gives_the_same_bytes_on_any_number_of_threads(tmp_path: Path) -> None:
    found = set()
    for threads in ("1", "2"):
        (tmp_path / threads).mkdir()
        environment = {**os.environ, "POLARS_MAX_THREADS": threads}
        command = [sys.executable, "-c", PROGRAM, str(tmp_path / threads)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, cwd=ROOT)
        found.add(done.stdout)
    (told,) = found
    assert "150000" == told.split()[0]


@pytest.mark.parametrize("name", ["*", "^.*$", "^id$", "?place", "?1", "?rules", "rules", "_line", "_was"])
@pytest.mark.parametrize("ending", ["csv", "ndjson"])
def test_a_header_may_be_called_as_it_likes(tmp_path: Path, name: str, ending: str) -> None:
    rows = [("1", "a", "p"), ("2", "b", "q"), ("3", "b", "r"), ("x", "c", "s")]
    header = ("id", "v", name)
    path = tmp_path / f"any.{ending}"
    lines = [",".join(header), *map(",".join, rows)]
    path.write_text(
        "\n".join(lines if ending == "csv" else [json.dumps(dict(zip(header, row, strict=True))) for row in rows])
    )
    contract = Contract(
        id="any",
        version="1.0.0",
        dataset="any",
        fingerprint="00112233445566aa",
        columns=(Column("id", "integer", sources=("id",)), Column("v", "string", sources=("v",))),
        checks=(Check("id.type", "type", "id"), Check("v.unique", "unique", "v")),
    )
    result = refine(
        path,
        contract,
        into=tmp_path / "out",
        source="s",
        source_version="1",
        agency_id="10",
        today=date(2026, 1, 1),
        footer={},
    )
    assert [(1, "a")] == pl.read_parquet(result.outputs[0].path).select("id", "v").rows()
    assert result.quarantine is not None
    raws = [json.loads(raw) for raw in pl.read_parquet(result.quarantine).sort("source_row")["raw"]]
    assert [list(row) for row in rows[1:]] == [list(raw.values()) for raw in raws]
