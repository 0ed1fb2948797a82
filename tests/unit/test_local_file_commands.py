"""`validate` and `profile` on one local file, with no service at all."""

from __future__ import annotations

import errno
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

from etl_core.errors import ConfigError
from pipeline_processing.cli.local_file import check_source
from pipeline_processing.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
CONTRACT = str(ROOT / "contracts/officers.odcs.yaml")
SAMPLE = str(ROOT / "contracts/samples/officers.csv")


TWO_DATASETS = """\
apiVersion: v3.1.0
kind: DataContract
id: two
version: 1.0.0
status: active
schema:
  - name: people
    properties: [{name: id, logicalType: integer}]
  - name: staff
    properties: [{name: badge, logicalType: string}]
"""


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PIPELINE_TOKEN_KEY", "PIPELINE_SILVER_BUCKET"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def officers(tmp_path: Path) -> Callable[[str], str]:
    def write(text: str) -> str:
        path = tmp_path / "officers.csv"
        path.write_text(f"Badge No,Name,Status,Hire Date,Left,Salary\n{text}")
        return str(path)

    return write


def test_a_file_with_rows_to_mend_is_partly_done_and_says_which(capsys: pytest.CaptureFixture[str]) -> None:
    assert 3 == main(["validate", SAMPLE, "--contract", CONTRACT])
    said = capsys.readouterr().out
    assert "8 in = 3 accepted + 4 in quarantine + 1 repeated" in said
    assert re.search(r"hired\.type +1 +5 \(line 6\) +can be read as a date", said)
    assert re.search(r"status +'\w+' +1 +ACTIVE", said)
    assert "Rows are counted from 1" in said


def test_a_good_file_ends_with_nought(officers: Callable[[str], str]) -> None:
    assert 0 == main(["validate", officers("42,Ann,A,2001-02-03,2004-02-03,100\n"), "--contract", CONTRACT])


def test_a_refused_file_ends_with_one(officers: Callable[[str], str]) -> None:
    assert 1 == main(["validate", officers(""), "--contract", CONTRACT])


def test_what_is_no_table_ends_with_one_and_says_what_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "broken.zip"
    path.write_bytes(b"PK\x03\x04 nothing of the kind")
    page = tmp_path / "page.html"
    assert 1 == main(["validate", str(path), "--contract", CONTRACT, "--html", str(page)])
    assert "error: " in capsys.readouterr().err
    assert "The file can not be read" in page.read_text()


def test_a_column_of_json_booleans_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    contract, path = tmp_path / "c.odcs.yaml", tmp_path / "f.ndjson"
    head = "apiVersion: v3.1.0\nkind: DataContract\nid: f\nversion: 1.0.0\nstatus: active\nschema:\n"
    contract.write_text(head + "- name: f\n  properties:\n  - {name: sworn, logicalType: boolean}\n")
    path.write_text('{"sworn": true}\n{"sworn": true}\n{"sworn": null}\n')
    assert 0 == main(["validate", str(path), "--contract", str(contract)])
    assert "3 in = 3 accepted" in capsys.readouterr().out


def test_a_path_that_is_no_file_is_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == main(["validate", str(tmp_path), "--contract", CONTRACT])
    assert "is a folder" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["validate FILE --contract C", "profile FILE", "contracts infer FILE"])
@pytest.mark.parametrize(
    ("name", "says"), [("none", "is not there"), ("pipe", "is no ordinary file"), ("x" * 300, "can not be read: ")]
)
def test_a_path_that_can_not_be_read_is_a_usage_error(
    command: str, name: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "pipe")
    words = {"FILE": str(tmp_path / name), "C": CONTRACT}
    assert 2 == main([words.get(word, word) for word in command.split()])
    assert says in capsys.readouterr().err


def test_a_file_that_may_not_be_read_is_a_usage_error(
    officers: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_self: Path, *_how: str) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    path = officers("")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", refuse)
        with pytest.raises(ConfigError, match="can not be read: Permission denied"):
            check_source(Path(path), where="FILE")
    assert 2 == main(["validate", path, "--contract", CONTRACT, "--reference", "units=none.csv"])
    assert "none.csv is not there" in capsys.readouterr().err


def test_json_is_one_document_without_values_of_classified_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert 3 == main(["validate", SAMPLE, "--contract", CONTRACT, "--json"])
    said = capsys.readouterr().out
    document = json.loads(said)
    assert (8, 3, 4, 1) == tuple(document[name] for name in ("rows_in", "rows_out", "quarantined", "deduplicated"))
    assert 3 == document["exit_code"]
    for secret in ("GARCIA", "Garcia", "61200", "61,200", "44910"):
        assert secret not in said


def test_the_page_shows_offending_values_of_unclassified_columns_only(tmp_path: Path) -> None:
    page = tmp_path / "officers.html"
    main(["validate", SAMPLE, "--contract", CONTRACT, "--html", str(page)])
    text = page.read_text()
    assert "02/30/2012" in text
    assert "Garcia" not in text
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", text)


def test_outputs_are_kept_where_they_are_asked_for(tmp_path: Path) -> None:
    main(["validate", SAMPLE, "--contract", CONTRACT, "--output", str(tmp_path / "kept")])
    kept = sorted(path.name for path in (tmp_path / "kept").rglob("*.parquet"))
    assert "quarantine.parquet" in kept
    assert 4 == pl.read_parquet(tmp_path / "kept/quarantine.parquet").height
    assert 2 == main(["validate", SAMPLE, "--contract", CONTRACT, "--output", str(tmp_path / "kept")])


def test_a_profile_needs_no_contract_and_hides_what_looks_personal(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["profile", SAMPLE])
    said = capsys.readouterr().out
    assert re.search(r"name +string \(classified\)", said)
    assert "GARCIA" not in said


def test_a_profile_by_a_contract_of_several_datasets_names_the_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    contract, file = tmp_path / "two.odcs.yaml", tmp_path / "staff.csv"
    contract.write_text(TWO_DATASETS)
    file.write_text("badge\nA1\n")
    assert 2 == main(["profile", str(file), "--contract", str(contract)])
    assert "the contract describes several tables" in capsys.readouterr().err
    assert 0 == main(["profile", str(file), "--contract", str(contract), "--dataset", "staff", "--json"])
    said = json.loads(capsys.readouterr().out)
    assert [("badge", 1)] == [(column["name"], column["rows"]) for column in said["columns"]]


def test_a_profile_of_nothing_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == main(["profile"])
    assert "name a FILE" in capsys.readouterr().err


def test_json_holds_nothing_that_steers_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "of\u202ecers\u009b31m.csv"
    path.write_bytes(Path(SAMPLE).read_bytes())
    assert 3 == main(["validate", str(path), "--contract", CONTRACT, "--json"])
    said = capsys.readouterr().out
    assert "\u202e" not in said
    assert "\u009b" not in said
    assert str(path) == json.loads(said)["file"]
