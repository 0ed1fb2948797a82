"""How tools are fetched: once, whole, and only as pinned."""

from __future__ import annotations

import hashlib
import zipfile
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from tests.chart import tools

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = b"#!/bin/sh\necho here\n"
PINNED = tools.Packed(
    "a-tool-1.0", "a-tool-of-this-test==1.0", hashlib.sha256(PROGRAM).hexdigest(), tools.member("scripts/a-tool")
)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes wheels from, and nothing else; it has one."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    info = "a_tool_of_this_test-1.0.dist-info"
    with zipfile.ZipFile(folder / "a_tool_of_this_test-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("a_tool_of_this_test-1.0.data/scripts/a-tool", PROGRAM)
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: a-tool-of-this-test\nVersion: 1.0\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_a_tool_is_fetched_once_and_then_needs_no_index(index: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: tools.packed(PINNED, tmp_path / "tools"), range(4)))
    (program,) = found
    assert PROGRAM == program.read_bytes()
    assert 0o755 == program.stat().st_mode & 0o777
    for wheel in index.iterdir():
        wheel.unlink()
    assert program == tools.packed(PINNED, tmp_path / "tools")
    assert {program.name, f"{program.name}.lock"} == {path.name for path in (tmp_path / "tools").iterdir()}


@pytest.mark.usefixtures("index")
def test_a_program_that_is_not_the_pinned_one_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    other = tools.Packed(PINNED.program, PINNED.requirement, "0" * 64, PINNED.unpack)
    with pytest.raises(ValueError, match="is pinned"):
        tools.packed(other, tmp_path / "tools")
    assert ["a-tool-1.0-000000000000.lock"] == [path.name for path in (tmp_path / "tools").iterdir()]


@pytest.mark.usefixtures("index")
def test_a_tool_that_can_not_be_had_is_told_from_one_that_is_wrong(tmp_path: Path) -> None:
    absent = tools.Packed("b", "b-tool-of-this-test==1.0", PINNED.sha256, PINNED.unpack)
    with pytest.raises(tools.ToolUnavailableError, match="b-tool-of-this-test"):
        tools.packed(absent, tmp_path / "tools")


def test_checkov_is_locked_with_hashes_and_without_addresses() -> None:
    lock = tools.CHECKOV_LOCK.read_text(encoding="utf-8")
    assert "://" not in lock
    pins = [line for line in lock.splitlines() if line and not line.startswith(" ")]
    assert [] == [pin for pin in pins if "==" not in pin or not pin.endswith("\\")]
