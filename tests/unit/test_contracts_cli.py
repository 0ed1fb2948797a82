from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from contract_documents import column, document
from etl_core.errors import ConfigError
from pipeline_processing.cli.contracts import main
from pipeline_processing.cli.main import main as cli
from pipeline_processing.contracts.document import parse
from pipeline_processing.contracts.infer import TOTALS
from pipeline_processing.contracts.load import load

OFFICERS = Path(__file__).parents[2] / "contracts" / "officers.odcs.yaml"
SAMPLE = OFFICERS.parent / "samples" / "officers.csv"


@pytest.fixture
def contract(tmp_path: Path) -> Path:
    path = tmp_path / "people.odcs.yaml"
    path.write_text(document(column("a", required=True)))
    return path


def test_lint_tells_faults_and_warnings_of_every_file(
    contract: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(document(column("a", "no such type")))
    worse = tmp_path / "worse.yaml"
    worse.write_text("a: [\n")

    assert 2 == main(["lint", str(contract), str(bad), str(worse)])

    lines = capsys.readouterr().out.splitlines()
    assert f"{contract}: warning: schema.people: it has no primary key" in lines[0]
    assert f"{contract}: people 1.0.0 can be used (1 warning)" == lines[1]
    assert f"{bad}: fault: schema.people.properties.a.logicalType" in lines[2]
    assert f"{worse}: fault: line 2, column 1" in lines[-1]


def test_lint_is_strict_on_demand(contract: Path) -> None:
    assert 0 == main(["lint", str(contract)])
    assert 3 == main(["lint", "--strict", str(contract)])
    assert 0 == main(["lint", "--strict", str(OFFICERS)])


def test_lint_gives_one_document_on_demand(contract: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["lint", "--json", str(contract)])

    (told,) = orjson.loads(capsys.readouterr().out)["files"]
    assert (str(contract), ["people"], []) == (told["file"], told["datasets"], told["faults"])
    assert ["schema.people"] == [warning["place"] for warning in told["warnings"]]


def test_show_tells_a_contract_as_it_was_understood(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["show", str(OFFICERS)])

    out = capsys.readouterr().out
    assert "deduplicated     by badge; first by hired desc" in out
    assert "Badge | Badge No | Star > digits > pad" in out
    assert "hired by today" in out


def test_show_gives_one_document_on_demand(capsys: pytest.CaptureFixture[str]) -> None:
    main(["show", "--json", "--dataset", "officers", str(OFFICERS)])

    (told,) = orjson.loads(capsys.readouterr().out)["contracts"]
    assert load(OFFICERS).fingerprint == told["fingerprint"]
    assert ["badge"] == told["primary_key"]


def test_diff_says_whether_a_change_breaks(contract: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    looser, other = tmp_path / "looser.yaml", tmp_path / "other.yaml"
    looser.write_text(document(column("a")))
    other.write_text(document(column("a", required=True)).replace("people", "folk"))

    assert 0 == main(["diff", str(contract), str(contract)])
    assert 0 == main(["diff", str(contract), str(looser)])
    assert 3 == main(["diff", str(looser), str(contract)])
    assert 3 == main(["diff", str(contract), str(other)])

    assert [
        "nothing changed",
        "people: column a: required: True -> False",
        "compatible",
        "people: BREAKS column a: required: False -> True (values that were fine may fail now)",
        "breaking",
        "people: BREAKS table: is gone (who reads it finds it no more)",
        "folk: table: is new",
        "breaking",
    ] == capsys.readouterr().out.splitlines()


def test_diff_gives_one_document_on_demand(contract: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["diff", "--json", str(contract), str(contract)])

    assert {"breaking": False, "tables": {"people": []}} == orjson.loads(capsys.readouterr().out)


def test_infer_writes_a_first_contract_that_loads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "first.odcs.yaml"

    assert 0 == main(["infer", str(SAMPLE)])
    printed = capsys.readouterr().out
    assert 0 == main(["infer", str(SAMPLE), "--output", str(path)])

    assert printed == path.read_text()
    assert "officers" == load(path).dataset
    assert ["badge_no", "name", "status", "hire_date", "left", "salary"] == [one.name for one in load(path).columns]


def test_infer_gives_one_document_on_demand(capsys: pytest.CaptureFixture[str]) -> None:
    main(["infer", str(SAMPLE), "--dataset", "staff", "--json"])

    assert "staff" == orjson.loads(capsys.readouterr().out)["schema"][0]["name"]


@pytest.mark.parametrize("last", ["Total,,7", "  GRAND TOTALS", '"Total"'])
def test_infer_notices_a_totals_line_whatever_its_fields(
    last: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sample, contract = tmp_path / "pay.csv", tmp_path / "pay.odcs.yaml"
    sample.write_text(f"id,name,pay\nA1,Ann,3\nA2,Bob,4\n{last}\n")
    assert 0 == main(["infer", str(sample), "--output", str(contract)])
    written = load(contract)
    assert (TOTALS, None, None) == (written.format.totals, written.format.kind, written.format.delimiter)
    assert ["id"] == list(written.primary_key)
    assert ["id", "name", "pay"] == [column.name for column in written.columns if column.required]
    assert 0 == cli(["validate", str(sample), "--contract", str(contract)])
    assert "1 totals line skipped" in capsys.readouterr().out


def test_infer_says_of_the_format_only_what_is_odd(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, text in (("a.csv", "a;b\n1;2\n"), ("b.ndjson", '{"a": "Total of all", "b": 1}\n{"a": "x", "b": 2}\n')):
        (tmp_path / name).write_text(text)
        main(["infer", str(tmp_path / name)])
    first, second = capsys.readouterr().out.split("# A first contract")[1:]
    assert "delimiter: ;" in first
    assert "kind: csv" not in first
    assert "format" not in second


def test_infer_overwrites_nothing_unless_forced(contract: Path) -> None:
    before = contract.read_text()

    with pytest.raises(ConfigError, match="there is a file already"):
        main(["infer", str(SAMPLE), "--output", str(contract)])
    assert before == contract.read_text()
    assert 0 == main(["infer", str(SAMPLE), "--output", str(contract), "--force"])
    assert "officers" == load(contract).dataset


def test_infer_from_a_file_that_is_not_there_is_a_fault_of_usage(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not there"):
        main(["infer", str(tmp_path / "none.csv")])


def test_schema_prints_the_schema_for_editors(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["schema"])

    assert parse(OFFICERS.read_text(), source="c").keys() <= orjson.loads(capsys.readouterr().out)["properties"].keys()


def test_a_command_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as wish:
        main([])

    assert 2 == wish.value.code
    assert "see pipeline-processing contracts --help" in capsys.readouterr().err
