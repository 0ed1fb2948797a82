"""The import contracts of pyproject.toml hold, and they can break."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINT = (
    "import sys; from importlinter.cli import lint_imports;"
    "sys.exit(lint_imports(config_filename='pyproject.toml', no_cache=True))"
)


def _lint(root: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join((str(root / "libs"), str(root / "services")))
    return subprocess.run(
        [sys.executable, "-c", LINT],
        cwd=root,
        env={**os.environ, "PYTHONPATH": path, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_everybody_imports_only_what_they_may() -> None:
    linted = _lint(ROOT)
    assert 0 == linted.returncode, linted.stdout


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in ("libs", "services"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("services/pipeline_worker/intruder.py", "import pipeline_operator", "Services stand on the library"),
        ("libs/etl_core/intruder.py", "", "The core's layers"),
        ("libs/etl_core/errors.py", "import etl_core.retry", "The core's layers"),
        ("libs/pipeline_processing/intruder.py", "", "The library's layers"),
        ("libs/pipeline_processing/model.py", "import pipeline_processing.layout", "The library's layers"),
        ("libs/pipeline_processing/jobs/intruder.py", "import boto3", "The AWS SDK stays in its adapters"),
        ("libs/pipeline_processing/processors/intruder.py", "import asyncpg", "asyncpg stays in its adapter"),
        ("libs/pipeline_processing/settlement.py", "import etl_core.clock", "Decisions do no I/O"),
        ("services/pipeline_worker/intruder.py", "import etl_core.queue.sqs", "Only a bootstrap"),
        ("services/pipeline_worker/intruder.py", "import etl_core.testing", "Product code never imports"),
    ],
)
def test_each_contract_breaks_when_it_is_broken(copy: Path, file: str, line: str, contract: str) -> None:
    with (copy / file).open("a", encoding="utf-8") as module:
        module.write(f"\n{line}\n")

    linted = _lint(copy)

    assert 1 == linted.returncode
    broken = [text for text in linted.stdout.splitlines() if text.startswith(contract) and "BROKEN" in text]
    assert broken, linted.stdout
