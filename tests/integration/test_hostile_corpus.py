"""Every file of the hostile corpus comes to its verdict, in a child process whose memory and time are limited."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from pipeline_processing.readers import REASONS

HOSTILE: Final = Path(__file__).parents[1] / "fixtures" / "hostile"
VERDICTS: Final[dict[str, dict[str, Any]]] = json.loads((HOSTILE / "verdicts.json").read_text("utf-8"))
SMALL: Final = tuple(case for case, verdict in VERDICTS.items() if "made" not in verdict)
BIG: Final = tuple(case for case, verdict in VERDICTS.items() if "made" in verdict)
SECONDS: Final = 170
CHECKED: Final = ("rows", "kind", "encoding", "header", "first")


def read(cases: tuple[str, ...], folder: Path, program: str = "read_all.py") -> dict[str, dict[str, Any]]:
    """Read ``cases`` in one child; what came of each, the child's end included where it did not get through."""
    asked = [[case, str(folder / case.partition("#")[0]), VERDICTS[case].get("format", {})] for case in cases]
    child = subprocess.run(
        [sys.executable, str(HOSTILE / program)],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    found = {line["case"]: line for line in map(json.loads, child.stdout.splitlines())}
    died = {"died": f"exit code {child.returncode}, {child.stderr[-2000:]}"}
    return {case: found.get(case, died) for case in cases}


@pytest.fixture(scope="module")
def small() -> dict[str, dict[str, Any]]:
    return read(SMALL, HOSTILE / "files")


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("hostile")
    code = "import sys, pathlib, make; make.big(pathlib.Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", code, str(folder)], cwd=HOSTILE, check=True, timeout=SECONDS)
    return read(BIG, folder)


def check(verdict: dict[str, Any], found: dict[str, Any]) -> None:
    for refusal in ("invalid", "config"):
        if refusal in verdict:
            assert verdict[refusal] in found.get(refusal, f"not refused: {found}")
            return
    assert "rows" in found, found
    for what in CHECKED:
        if what in verdict:
            assert (what, verdict[what]) == (what, found[what])
    assert verdict.get("rejects", {}) == found["rejects"]
    assert verdict.get("skipped", {}) == found["skipped"]
    assert verdict.get("notes", []) == found["notes"]


@pytest.mark.parametrize("case", SMALL)
def test_a_small_hostile_file_comes_to_its_verdict(case: str, small: dict[str, dict[str, Any]]) -> None:
    check(VERDICTS[case], small[case])


@pytest.mark.parametrize("case", BIG)
def test_a_big_hostile_file_comes_to_its_verdict(case: str, big: dict[str, dict[str, Any]]) -> None:
    check(VERDICTS[case], big[case])


@pytest.fixture(scope="module")
def refined() -> dict[str, dict[str, Any]]:
    return read(SMALL, HOSTILE / "files", "refine_all.py")


@pytest.mark.parametrize("case", SMALL)
def test_every_record_of_a_small_hostile_file_is_accounted_for_all_the_way_to_silver(
    case: str, refined: dict[str, dict[str, Any]]
) -> None:
    verdict, found = VERDICTS[case], refined[case]
    if "invalid" in verdict or "config" in verdict:
        assert "refused" in found, found
        return
    assert verdict["rows"] + sum(verdict.get("rejects", {}).values()) == found.get("rows_in"), found
    assert found["verdict"] in {"pass", "warn", "fail_file"}
    assert sum(verdict.get("rejects", {}).values()) <= found["quarantined"]


def test_the_corpus_has_every_reason_for_which_a_record_is_rejected() -> None:
    assert REASONS == {reason for verdict in VERDICTS.values() for reason in verdict.get("rejects", {})}


def test_every_committed_file_has_a_verdict_and_every_verdict_a_line_in_the_table() -> None:
    committed = {path.name for path in (HOSTILE / "files").iterdir()}
    assert committed == {case.partition("#")[0] for case in SMALL}
    table = (HOSTILE / "README.md").read_text("utf-8")
    assert [] == [case for case in VERDICTS if f"| `{case}` |" not in table]
    assert len(VERDICTS) >= 60
