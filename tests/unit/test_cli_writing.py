"""Paths that can not be written, and questions that nobody answers, are faults of the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from etl_core.errors import ConfigError
from pipeline_processing.cli.main import main
from pipeline_processing.cli.quarantine import COMMANDS, options_of, show
from pipeline_processing.cli.terminal import confirmed
from pipeline_processing.cli.writing import check_target, new_folder, write
from quarantine_world import QuarantineWorld
from silver_world import CONTRACT, PEOPLE

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline_processing.service_handler import ServiceHandler


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "people.csv").write_text(PEOPLE)
    (tmp_path / "people.odcs.yaml").write_text(CONTRACT)
    return tmp_path


@pytest.mark.parametrize(
    ("option", "path", "says"),
    [
        ("--html", "none/p.html", "is no folder"),
        ("--html", ".", "is a folder"),
        ("--output", "people.csv/out", "can not be made"),
        ("--output", ".", "is there already"),
    ],
)
def test_a_validation_that_can_not_be_written_is_refused_before_the_work(
    files: Path, option: str, path: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(files / "people.csv"), "--contract", str(files / "people.odcs.yaml"), option, str(files / path)]
    assert 2 == main(["validate", *arguments])
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(("path", "says"), [("none/c.yaml", "is no folder"), (".", "is a folder")])
def test_an_inferred_contract_that_can_not_be_written_is_a_usage_error(
    files: Path, path: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["contracts", "infer", str(files / "people.csv"), "--output", str(files / path), "--force"]
    assert 2 == main(arguments)
    assert says in capsys.readouterr().err


def test_a_target_in_a_folder_that_is_there_is_written(tmp_path: Path) -> None:
    check_target(None, where="--html")
    check_target(tmp_path / "page.html", where="--html")
    write(tmp_path / "page.html", "é", where="--html")
    assert "é" == (tmp_path / "page.html").read_text(encoding="utf-8")


def test_what_fails_while_it_is_written_is_told_by_its_path(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can not be written"):
        write(tmp_path / "none" / "page.html", "", where="--html")


def test_a_new_folder_is_left_to_its_writer(tmp_path: Path) -> None:
    assert new_folder(None, where="--output") is None
    assert tmp_path / "a" / "b" == new_folder(tmp_path / "a" / "b", where="--output")
    assert not (tmp_path / "a" / "b").exists()


def test_a_question_without_a_terminal_says_what_to_give() -> None:
    def nobody(_: str) -> str:
        raise EOFError

    with pytest.raises(ConfigError, match="nobody answers") as refused:
        confirmed("Do it?", ask=nobody)
    assert "give --yes" == refused.value.way_out


@pytest.fixture
async def services(tmp_path: Path) -> ServiceHandler:
    return (await QuarantineWorld.after_run(tmp_path)).handler()


@pytest.mark.parametrize("path", ["none/rows.csv", "people.odcs.yaml/rows.csv", "."])
async def test_an_export_that_can_not_be_written_is_refused(
    services: ServiceHandler, tmp_path: Path, path: str
) -> None:
    with pytest.raises(ConfigError, match=r"folder"):
        await show(options_of("show", ["--dataset", "people", "--export", str(tmp_path / path)]), services)


@pytest.mark.parametrize("name", ["show", "list"])
async def test_a_rule_that_nobody_has_is_a_usage_error_that_names_those_there_are(
    services: ServiceHandler, name: str
) -> None:
    with pytest.raises(ConfigError, match="no rule is called 'nope'") as refused:
        await COMMANDS[name](options_of(name, ["--dataset", "people", "--rule", "nope"]), services)
    for rule in ("hired.type", "reader.ragged", "id.required"):
        assert rule in refused.value.way_out


@pytest.mark.parametrize("rule", ["id.required", "reader.encoding", "*.required"])
async def test_a_rule_that_no_row_fails_shows_no_row(
    services: ServiceHandler, rule: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 0 == await show(options_of("show", ["--dataset", "people", "--rule", rule]), services)
    assert "0 of 0 rows" in capsys.readouterr().out
