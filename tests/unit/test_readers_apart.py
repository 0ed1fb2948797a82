from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from etl_core.errors import InvalidData
from pipeline_processing.readers.apart import BAD_INPUT, run_apart

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module that does what its argument says."""
    (tmp_path / "told_what_to_do.py").write_text("import os, sys\nexec(sys.argv[1])\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "told_what_to_do"


def run(module: str, code: str, seconds: float = 60) -> bytes:
    return run_apart(module, code, seconds=seconds, fault="f.xls: broken")


def test_what_the_process_prints_is_given(module: str) -> None:
    assert b"done" == run(module, "sys.stdout.write('done')")


@pytest.mark.parametrize("code", ["os.abort()", "os.kill(os.getpid(), 11)", f"sys.exit({BAD_INPUT})"])
def test_a_process_that_its_input_ends_is_the_inputs_fault(module: str, code: str) -> None:
    with pytest.raises(InvalidData, match=r"^f\.xls: broken$"):
        run(module, code)


@pytest.mark.parametrize("code", ["os.kill(os.getpid(), 15)", "os.kill(os.getpid(), 9)", "raise KeyError('x')"])
def test_a_process_that_something_else_ends_is_not(module: str, code: str) -> None:
    with pytest.raises(RuntimeError, match="told_what_to_do failed"):
        run(module, code)


def test_a_process_that_takes_too_long_is_the_inputs_fault(module: str) -> None:
    with pytest.raises(InvalidData, match=r"^f\.xls: broken in 1 s$"):
        run(module, "while True: pass", seconds=1)


def test_the_memory_of_a_process_is_limited(module: str) -> None:
    limited = "from pipeline_processing.readers.apart import limit_memory; limit_memory(2**29); b'x' * 2**30"
    with pytest.raises(RuntimeError, match="MemoryError"):
        run(module, limited)
