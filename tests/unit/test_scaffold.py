import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from etl_core.errors import ConfigError
from pipeline_processing.cli import new_job
from pipeline_processing.cli.exits import guarded
from pipeline_processing.scaffold import NAME_LIMIT, check_name, checkout, render

ROOT = Path(__file__).resolve().parents[2]
WRITTEN = (
    "libs/pipeline_processing/jobs/{}.py",
    "libs/pipeline_processing/processors/{}.py",
    "tests/unit/test_{}.py",
)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what a checkout needs to check and run a job; it is found before the installed one."""
    for name in ("libs", "services"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "README.md").touch()
    (tmp_path / "tests" / "unit").mkdir(parents=True)
    return tmp_path


def _in(root: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIPELINE_")}
    environment["PYTHONPATH"] = os.pathsep.join((str(root / "libs"), str(root / "services")))
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=root, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("name", ["normalize_ranks", "zap", "a_job_with_a_name_of_30_letter"])
def test_what_it_writes_passes_every_check_and_its_own_test(copy: Path, name: str) -> None:
    files = [place.format(name) for place in WRITTEN]

    made = _in(copy, "pipeline_processing.cli.main", "new-job", name)
    assert (0, "") == (made.returncode, made.stderr)
    assert all(f"wrote {file}" in made.stdout for file in files)

    for command in (
        ("ruff", "check", "--no-cache", *files),
        ("ruff", "format", "--no-cache", "--check", *files),
        ("pytest", "-q", "-p", "no:cacheprovider", files[-1]),
        ("unittest", files[-1]),
    ):
        ran = _in(copy, *command)
        assert 0 == ran.returncode, f"{command}: {ran.stdout}{ran.stderr}"

    listed = _in(copy, "pipeline_processing.cli.main", "jobs")
    assert 0 == listed.returncode, listed.stderr
    assert f"\n{name} " in listed.stdout


def test_what_it_writes_is_typed_and_keeps_the_layers(copy: Path) -> None:
    assert 0 == _in(copy, "pipeline_processing.cli.main", "new-job", "normalize_ranks").returncode

    typed = _in(copy, "mypy", "--strict", *(place.format("normalize_ranks") for place in WRITTEN))
    assert 0 == typed.returncode, typed.stdout

    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(config_filename=sys.argv[1]))"
    environment = {**os.environ, "PYTHONPATH": f"{copy / 'libs'}{os.pathsep}{copy / 'services'}"}
    kept = subprocess.run(
        [sys.executable, "-c", code, "pyproject.toml"],
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == kept.returncode, kept.stdout


def test_a_dry_run_writes_nothing(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == new_job.main(["normalize_ranks", "--dry-run", "--root", str(copy)])

    assert 3 == capsys.readouterr().out.count("would write")
    assert not any((copy / place.format("normalize_ranks")).exists() for place in WRITTEN)


@pytest.mark.parametrize("place", WRITTEN)
def test_nothing_is_replaced_and_then_nothing_is_written(
    copy: Path, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    there = copy / place.format("normalize_ranks")
    there.write_text("mine")

    assert 2 == guarded(lambda: new_job.main(["normalize_ranks", "--root", str(copy)]))

    assert "there already" in capsys.readouterr().err
    assert ["mine"] == [
        path.read_text() for path in (copy / other.format("normalize_ranks") for other in WRITTEN) if path.exists()
    ]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("NormalizeRanks", "normalize_ranks"),
        ("normalize-ranks", "normalize_ranks"),
        ("normalize ranks", "normalize_ranks"),
        ("2fast", "fast"),
        ("../evil", "evil"),
        ("_private", "private"),
        ("import", ""),
        ("json", ""),
        ("registry", ""),
        ("x" * (NAME_LIMIT + 1), ""),
        ("", ""),
        ("é" * 4, ""),
    ],
)
def test_bad_names_are_refused_with_the_way_out(name: str, meant: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_name(name)
    assert (f"did you mean {meant}?" if meant else "choose another name") == caught.value.way_out


def test_outside_a_checkout_it_says_where_to_go(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "another"\n')
    with pytest.raises(ConfigError, match="not in a checkout"):
        checkout(tmp_path)


def test_any_folder_of_a_checkout_will_do() -> None:
    assert ROOT == checkout(ROOT / "tests" / "unit")
    assert 3 == len(render("normalize_ranks_again", ROOT))
