import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import orjson
import pytest
import structlog

import data_pipeline.cli.get_s3_files
import data_pipeline.cli.main
from etl_core.errors import ConfigError, InvalidData, Unreachable
from pipeline_processing import __version__
from pipeline_processing.cli import get_s3_files
from pipeline_processing.cli.exits import guarded
from pipeline_processing.cli.main import main
from pipeline_processing.cli.terminal import confirmed, print_pairs, print_table

Out = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """A command that gets as far as its services sends the logs to the captured stderr, which closes."""
    yield
    structlog.reset_defaults()


def _raising(error: BaseException) -> Callable[[], int]:
    def call() -> int:
        raise error

    return call


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ConfigError("no bucket", where="settings", way_out="set it"), 2, "error: settings: no bucket (set it)\n"),
        (ConfigError("no\nbucket"), 2, "error: no bucket\n"),
        (Unreachable("no connection"), 1, "error: no connection\n"),
        (InvalidData("not text"), 1, "error: not text\n"),
        (InvalidData(""), 1, "error: InvalidData\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (SystemExit(7), 7, ""),
        (SystemExit(None), 0, ""),
        (SystemExit("words"), 1, "words\n"),
        (ExceptionGroup("g", [Unreachable("down"), ExceptionGroup("h", [Unreachable("down")])]), 1, "error: down\n"),
        (ExceptionGroup("g", [Unreachable("down"), ConfigError("bad")]), 2, "error: down\nerror: bad\n"),
    ],
)
def test_each_error_has_one_exit_code_and_one_line(error: BaseException, code: int, line: str, capsys: Out) -> None:
    assert code == guarded(_raising(error))
    assert ("", line) == capsys.readouterr()


@pytest.mark.parametrize(
    "error", [ValueError("a fault of ours"), ExceptionGroup("g", [ValueError(), ConfigError("x")])]
)
def test_what_is_not_in_the_error_tree_passes_with_its_traceback(error: Exception) -> None:
    with pytest.raises(type(error)):
        guarded(_raising(error))


def test_a_reader_that_goes_away_ends_it_without_a_traceback() -> None:
    code = (
        "import sys; from pipeline_processing.cli.exits import guarded\n"
        "def many():\n    for _ in range(100000): print('a line that fills a pipe')\n    return 0\n"
        "sys.exit(guarded(many))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert "" == process.stderr.read()
        assert 1 == process.wait()


def test_a_broken_connection_is_not_taken_for_a_closed_terminal() -> None:
    with pytest.raises(BrokenPipeError):
        guarded(_raising(BrokenPipeError()))


@pytest.mark.parametrize("argv", [["--help"], ["-h"], ["help"]])
def test_help_shows_every_command_examples_and_exit_codes(argv: Sequence[str], capsys: Out) -> None:
    assert 0 == main(argv)

    shown = capsys.readouterr().out
    for command in ("run", "jobs", "new-job", "controller", "worker", "dlq", "local", "demo", "doctor", "version"):
        assert f"\n  {command} " in shown
    assert "0 done · 1 failed · 2 usage or configuration · 3 partly done" in shown
    assert "130 interrupted" in shown


def test_no_command_at_all_is_a_usage_error(capsys: Out) -> None:
    assert 2 == main([])
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["version"], ["--version"]])
def test_the_version_is_the_distributions(argv: Sequence[str], capsys: Out) -> None:
    assert 0 == main(argv)
    assert f"pipeline-processing {__version__}\n" == capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        (["jbos"], "did you mean jobs?"),
        (["get_s3_files"], "that is a job: pipeline-processing run get_s3_files -- …"),
        (["get-s3-files"], "that is a job: pipeline-processing run get_s3_files -- …"),
        (["xyzzy"], "--help lists them"),
        (["run", "get_s3_fils"], "did you mean get_s3_files?"),
    ],
)
def test_an_unknown_name_is_answered_with_what_was_meant(argv: Sequence[str], hint: str, capsys: Out) -> None:
    assert 2 == main(argv)

    error = capsys.readouterr().err
    assert hint in error
    assert 1 == error.count("\n")


def test_jobs_are_listed_as_text_and_as_json(capsys: Out) -> None:
    assert 0 == main(["jobs"])
    header, *rows = capsys.readouterr().out.splitlines()
    assert ["job", "description", "module"] == header.split()
    assert any(row.startswith("get_s3_files ") for row in rows)

    assert 0 == main(["jobs", "--json"])
    listed = orjson.loads(capsys.readouterr().out)
    assert [] == listed["faults"]
    assert "get_s3_files" in [job["name"] for job in listed["jobs"]]


def test_a_faulty_job_is_named_on_stderr_beside_the_good_ones_with_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "broken_job.py").write_text("1/0")
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[pipeline_processing.jobs]\nbroken = broken_job\n")

    ran = subprocess.run(
        [sys.executable, "-m", "pipeline_processing.cli.main", "jobs"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert 2 == ran.returncode
    assert "get_s3_files" in ran.stdout
    assert "error: broken_job: it can not be imported: ZeroDivisionError: division by zero\n" == ran.stderr


FORMS = (
    ("pipeline_processing.cli.main", "run", "get_s3_files", "--"),
    ("pipeline_processing.cli.main", "run", "get_s3_files"),
    ("pipeline_processing.cli.main", "run", "get-s3-files"),
    ("pipeline_processing.cli.get_s3_files",),
)


@pytest.mark.parametrize("form", FORMS)
def test_every_way_in_reaches_the_job_with_its_own_arguments(form: Sequence[str]) -> None:
    ran = subprocess.run([sys.executable, "-m", *form, "--help"], capture_output=True, text=True, check=False)

    assert 0 == ran.returncode, ran.stderr
    assert "--source-bucket" in ran.stdout
    assert "--attachments-from" in ran.stdout


def test_options_alone_run_get_s3_files_and_its_usage_errors_keep_their_code(capsys: Out) -> None:
    assert 2 == main(["--no-such-option-of-the-job"])
    assert "--no-such-option-of-the-job" in capsys.readouterr().err
    assert 2 == get_s3_files.main(["--no-such-option-of-the-job"])


WRONG = "error: unrecognized option --agnecy-id (did you mean --agency-id?)\nsee pipeline-processing%s --help\n"


@pytest.mark.parametrize(
    ("call", "argv", "see"),
    [
        (main, ["run", "get_s3_files", "--"], " run get_s3_files"),
        (main, ["run", "get_s3_files"], " run get_s3_files"),
        (main, [], " run get_s3_files"),
        (get_s3_files.main, [], "-get-s3-files"),
    ],
)
def test_a_wrong_option_is_one_line_with_what_was_meant_and_the_help_of_what_was_typed(
    call: Callable[[Sequence[str]], int], argv: Sequence[str], see: str, capsys: Out
) -> None:
    assert 2 == call([*argv, "--agnecy-id", "10"])
    assert ("", WRONG % see) == capsys.readouterr()


def test_a_job_s_options_may_stand_on_both_sides_of_the_dashes(capsys: Out) -> None:
    assert 2 == main(["run", "get_s3_files", "--json", "--", "--agnecy-id=10"])
    assert ("", WRONG % " run get_s3_files") == capsys.readouterr()


@pytest.mark.parametrize(
    ("argv", "line", "see"),
    [
        (["--dryrun"], "--dryrun (did you mean --dry-run?)", "controller run"),
        (["--agency-id=1"], "--agency-id (the job's own options stand behind --)", "controller run"),
        (["--", "--tolerate-failures", "2"], "--tolerate-failures (it stands before --)", "run get_s3_files"),
    ],
)
def test_the_controller_tells_its_own_options_from_the_job_s(
    argv: Sequence[str], line: str, see: str, capsys: Out
) -> None:
    assert 2 == main(["controller", "run", "get_s3_files", *argv])
    assert ("", f"error: unrecognized option {line}\nsee pipeline-processing {see} --help\n") == capsys.readouterr()


def test_a_word_too_many_is_named(capsys: Out) -> None:
    assert 2 == main(["jobs", "all"])
    assert ("", "error: unexpected argument all\nsee pipeline-processing jobs --help\n") == capsys.readouterr()


@pytest.mark.parametrize("module", ["data_pipeline.cli.main", "data_pipeline.cli.get_s3_files"])
def test_the_old_names_work_and_say_the_new_one_on_stderr(module: str) -> None:
    ran = subprocess.run([sys.executable, "-m", module, "--help"], capture_output=True, text=True, check=False)

    assert 0 == ran.returncode
    assert ran.stderr.startswith("deprecated: data-pipeline")
    assert "is now called pipeline-processing" in ran.stderr
    assert 1 == ran.stderr.count("\n")
    assert ran.stdout


def test_the_old_names_keep_exit_codes(capsys: Out) -> None:
    assert 2 == data_pipeline.cli.main.main(["jbos"])
    assert 2 == data_pipeline.cli.get_s3_files.main(["--no-such-option"])
    assert "did you mean jobs?" in capsys.readouterr().err


def test_run_without_a_job_is_a_usage_error(capsys: Out) -> None:
    assert 2 == main(["run"])
    assert "JOB" in capsys.readouterr().err


def test_a_table_in_a_pipe_is_aligned_and_cuts_nothing_off(capsys: Out) -> None:
    print_table(("name", "count"), [("a" * 200, 12_345), ("b", 1)])

    header, first, second = capsys.readouterr().out.splitlines()
    assert f"{'name':<200}  count" == header
    assert f"{'a' * 200}  12,345" == first
    assert f"{'b':<200}  1" == second


def test_an_escape_sequence_does_not_reach_the_terminal(capsys: Out) -> None:
    evil = "10\x1b[2J\x9b1m\r\x07"
    print_table(("agency",), [(evil,)])
    print_pairs({evil: f"{evil}\n{evil}"})
    guarded(_raising(ConfigError(evil)))

    said = capsys.readouterr()
    shown = said.out + said.err
    assert set() == {one for one in shown if not one.isprintable()} - {"\n"}
    assert "10\\x1b[2J\\x9b1m\\r\\x07\n" in shown


def test_pairs_are_aligned_and_what_is_none_is_left_out(capsys: Out) -> None:
    print_pairs({"a": 1, "long name": "first\nsecond", "nothing": None})

    assert "a          1\nlong name  first\n           second\n" == capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "expected"), [("y", True), ("YES", True), ("", False), ("n", False), ("yep", False)]
)
def test_only_yes_is_yes(answer: str, expected: bool) -> None:  # noqa: FBT001 - a parameter of the table above
    assert expected is confirmed("Do it?", ask=lambda _: answer)
