"""The demo does what it says, leaves what it is told to leave, and nothing else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from harness.programs import until

from pipeline_local.commands import inherited
from pipeline_local.demo import _folder

PROGRAM = [sys.executable, "-m", "pipeline_processing.cli.main"]

pytestmark = [pytest.mark.usefixtures("local_stack"), pytest.mark.timeout(300)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "a folder's name with spaces"


def run(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    whole = {**inherited(os.environ), **(environment or {})}
    return subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, check=False, env=whole)


def processes_of(folder: Path) -> list[str]:
    """Every process that has the folder in its command line or environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            told = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in told and int(process.name) != os.getpid():
            found.append((process / "cmdline").read_text().replace("\0", " "))
    return found


def test_the_demo_proves_itself_and_keeps_a_stack_that_other_commands_can_use(folder: Path) -> None:
    told = run("demo", "--keep", "--data-dir", str(folder))
    try:
        assert (0, "") == (told.returncode, told.stderr)
        steps = [line for line in told.stdout.splitlines() if line.startswith("✓")]
        assert 16 == len(steps)
        assert "358 files byte for byte, 20,000 CSV rows, 359 manifest rows" in told.stdout
        assert "all        362      361   1       0        0     0        yes" in told.stdout
        assert (folder / "demo" / "report.html").read_text().startswith("<!")

        environment = json.loads(run("local", "env", "--json", "--data-dir", str(folder)).stdout)
        letters = run("dlq", "list", environment=environment)
        assert (0, "no dead letters") == (letters.returncode, letters.stdout.strip().partition(": ")[2])
        status = run("controller", "status", "--run-id", "demo", "--json", environment=environment)
        assert (0, "published") == (status.returncode, json.loads(status.stdout)["state"])

        again = run("demo", "--data-dir", str(folder))
        assert (2, "") == (again.returncode, again.stdout)
        assert "is not empty" in again.stderr
    finally:
        run("local", "reset", "--data-dir", str(folder))
    assert [] == processes_of(folder)
    assert ["lock"] == [entry.name for entry in folder.iterdir()]


def test_ctrl_c_in_the_middle_of_the_run_stops_everything_and_removes_all_data(folder: Path) -> None:
    demo = subprocess.Popen(
        [*PROGRAM, "demo", "--data-dir", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=inherited(os.environ),
    )
    assert demo.stdout
    lines = []
    for line in demo.stdout:
        lines.append(line)
        if line.startswith("✓  3"):  # the workers are started, and the run begins once its log is there
            until((folder / "demo" / "run.log").exists, "the run")
            demo.send_signal(signal.SIGINT)
    stderr = demo.communicate()[1]
    assert (130, "interrupted") == (demo.wait(), stderr.strip())
    assert "✗  4" in "".join(lines)
    assert not folder.exists()
    assert [] == processes_of(folder)


def test_a_folder_with_something_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("do not remove")
    told = run("demo", "--data-dir", str(tmp_path))
    assert (2, "") == (told.returncode, told.stdout)
    assert "is not empty" in told.stderr
    assert ["mine.txt"] == [entry.name for entry in tmp_path.iterdir()]


def test_a_folder_that_a_reset_left_is_taken_again(folder: Path) -> None:
    folder.mkdir()
    (folder / "lock").touch()
    with _folder(folder, keeps=True) as taken:
        assert folder == taken
