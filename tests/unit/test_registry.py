import subprocess
import sys
from pathlib import Path

import pytest

from etl_core.errors import ConfigError
from pipeline_processing.jobs.registry import Registry, discover

GOOD = "def main(argv):\n    return 0\n\nJOB = (main, 'does one thing')\n"
NO_GROUP = "no.such.group"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """An empty package of jobs that can be imported, under a name of the test's own."""
    name = f"jobs_of_{abs(hash(request.node.nodeid))}"
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


def _discover(package: Path) -> Registry:
    return discover(package.name, NO_GROUP)


def test_every_module_with_a_job_is_found_sorted_by_name(package: Path) -> None:
    for name in ("zebra", "apple"):
        (package / f"{name}.py").write_text(GOOD)

    registry = _discover(package)

    assert ["apple", "zebra"] == list(registry.jobs)
    entry = registry.jobs["apple"]
    assert ("does one thing", f"{package.name}.apple", 0) == (entry.description, entry.source, entry.entrypoint([]))
    assert () == registry.faults


def test_modules_with_an_underscore_and_the_registry_itself_are_no_jobs(package: Path) -> None:
    for name in ("_private", "registry", "real"):
        (package / f"{name}.py").write_text(GOOD)

    registry = _discover(package)

    assert (["real"], ()) == (list(registry.jobs), registry.faults)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it has no JOB"),
        ("JOB = None", "it has no JOB"),
        ("JOB = (main, 'x')", "NameError"),
        ("JOB = 'main'", "its JOB is not"),
        ("JOB = (print, '')", "its JOB is not"),
        ("JOB = (print, '  ')", "its JOB is not"),
        ("JOB = ('print', 'x')", "its JOB is not"),
        ("JOB = (print, 'x', 1)", "its JOB is not"),
        ("JOB = (print, 1)", "its JOB is not"),
        ("import no_such_module_at_all", "ModuleNotFoundError: No module named 'no_such_module_at_all'"),
        ("raise RuntimeError('first line\\nsecond line')", "RuntimeError: first line second line"),
        ("raise SystemExit(3)", "SystemExit"),
        ("def broken(:", "SyntaxError"),
    ],
)
def test_a_faulty_module_is_named_in_one_line_and_hides_no_other(package: Path, text: str, why: str) -> None:
    (package / "faulty.py").write_text(text)
    (package / "good.py").write_text(GOOD)

    registry = _discover(package)

    assert ["good"] == list(registry.jobs)
    (fault,) = registry.faults
    assert fault.startswith(f"{package.name}.faulty: ")
    assert why in fault
    assert "\n" not in fault


def test_other_distributions_offer_jobs_by_entry_point(package: Path) -> None:
    (package / "own.py").write_text(GOOD)
    site = package.parent
    (site / "theirs_job.py").write_text(GOOD)
    (site / "faulty_job.py").write_text("1/0")
    info = site / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[a.group.of.jobs]\ntheirs = theirs_job\nbad = faulty_job\nown = theirs_job\nattribute = theirs_job:JOB\n"
    )

    registry = discover(package.name, "a.group.of.jobs")

    assert {"attribute": "theirs_job", "own": f"{package.name}.own", "theirs": "theirs_job"} == {
        name: entry.source for name, entry in registry.jobs.items()
    }
    assert [
        "faulty_job: it can not be imported: ZeroDivisionError: division by zero",
        f"theirs_job: the name own is taken by {package.name}.own",
    ] == list(registry.faults)


def test_an_unknown_name_is_answered_with_the_one_that_was_meant(package: Path) -> None:
    (package / "normalize_ranks.py").write_text(GOOD)
    (package / "faulty.py").write_text("")
    registry = _discover(package)

    with pytest.raises(ConfigError, match=r"there is no job 'normalise_rank' \(did you mean normalize_ranks\?\)"):
        registry.load("normalise_rank")
    with pytest.raises(ConfigError, match="did you mean normalize_ranks"):
        registry.entry("normalize-ranks")
    with pytest.raises(ConfigError, match="lists them: normalize_ranks"):
        registry.entry("xyz")
    with pytest.raises(ConfigError, match=r"its module is faulty: .*faulty: it has no JOB"):
        registry.entry("faulty")


def test_a_job_is_loaded_by_its_definition_and_one_without_says_how_it_can_run(package: Path) -> None:
    (package / "whole.py").write_text(GOOD + "def definition():\n    return 'the job'\n")
    (package / "local.py").write_text(GOOD)
    registry = _discover(package)

    assert "the job" == str(registry.load("whole"))
    with pytest.raises(ConfigError, match="`pipeline-processing run local`"):
        registry.load("local")


def test_the_products_own_jobs_have_no_faults_and_can_all_be_loaded() -> None:
    registry = discover()

    assert () == registry.faults
    assert "get_s3_files" in registry.jobs
    assert list(registry.jobs) == [registry.load(name).name for name in registry.jobs]


def test_discovery_imports_nothing_heavy() -> None:
    heavy = {"aioboto3", "aiohttp", "asyncpg", "boto3", "botocore", "duckdb", "polars", "pydantic", "rich", "structlog"}
    code = (
        "import sys; from pipeline_processing.cli.main import main; code = main(['jobs']);"
        f"print('heavy:', [name for name in {sorted(heavy)!r} if name in sys.modules]); sys.exit(code)"
    )

    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (0, "") == (ran.returncode, ran.stderr)
    assert "heavy: []" == ran.stdout.splitlines()[-1]
    assert "get_s3_files" in ran.stdout
