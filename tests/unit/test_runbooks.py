"""docs/operations.md at 3 a.m.: its commands can be typed as they stand, each by a role that may what it does.

The chart's README: what it says to add to the least values is safe.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
import yaml

from pipeline_processing.cli.main import main, parse_of

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "docs/operations.md").read_text()
COMMAND: Final = re.compile(r"pipeline-processing ((?:controller|dlq|doctor|migrate|worker)\b[^`\n|#&]*)")
BY: Final = re.compile(r"\bby ([a-z]+) ((?:controller|quarantine|backfill|run|dlq|doctor) [^`\n#]*)")
MAY: Final = {"controller": {"controller", "quarantine", "backfill"}, "tables": {"run"}}
"""Which commands a role is for: docs/aws.md."""
OPERATORS: Final = {"dlq", "doctor"}


def typed(found: list[str]) -> list[str]:
    """Return each command once, without what stands for several or for any."""
    return sorted({" ".join(one.split()) for one in found if "…" not in one and "\\|" not in one})


COMMANDS: Final = typed(COMMAND.findall(PAGE))
JOBS: Final = sorted({(role, " ".join(words.split())) for role, words in BY.findall(PAGE) if "…" not in words})


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_can_be_typed_as_it_stands(command: str) -> None:
    name, *words = shlex.split(command)
    parse = parse_of(name)
    assert parse is not None
    parse(words)


@pytest.mark.parametrize(("role", "command"), JOBS)
def test_a_job_is_printed_for_a_role_that_may_it(
    role: str, command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in ("SOURCE", "DESTINATION", "SILVER", "CONTROL"):
        monkeypatch.delenv(f"PIPELINE_{kind}_BUCKET", raising=False)
    words = shlex.split(command)
    argv = ["manifest", "--command", "--service-account", f"pipeline-processing-{role}", "--config-map", "s"]
    assert 0 == main([*argv, "--", *words]), capsys.readouterr().err
    assert words[0] in MAY[role]


def test_what_runs_in_an_operators_pod_is_the_operators() -> None:
    inside = re.findall(r"exec -it job/\S+ -- pipeline-processing (\w+)", PAGE)
    assert ({"dlq"}, set()) == (set(inside), set(inside) - OPERATORS)


CLUSTER: Final = """
kubectl() {
  case "$*" in
    *"get cronjob"*) echo registry.example/pipeline-processing:0.1.0 ;;
    "create -f - -o name") { cat; echo ---; } >> "$CREATED"; echo job.batch/made ;;
    *) echo "kubectl $*" ;;
  esac
}
pipeline-processing() { "$PYTHON" -m pipeline_processing.cli.main "$@"; }
"""
"""Stands for a cluster that takes what it is given, and for the installed command."""


def test_the_shell_function_makes_a_job_of_each_role_and_prints_its_log(tmp_path: Path) -> None:
    (script,) = re.findall(r"^```bash\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    environment = {**os.environ, "CREATED": str(tmp_path / "created"), "PYTHON": sys.executable}
    ran = subprocess.run(
        ["bash", "-euc", CLUSTER + script], env=environment, capture_output=True, text=True, check=False
    )
    assert 0 == ran.returncode, ran.stderr
    documents = [one for one in yaml.safe_load_all((tmp_path / "created").read_text()) if one]
    pods = [one["spec"]["template"]["spec"] for one in documents]
    made = [(pod["serviceAccountName"], pod["containers"][0]["args"][:2]) for pod in pods]
    assert [
        ("pipeline-processing-controller", ["controller", "status"]),
        ("pipeline-processing-controller", ["controller", "cancel"]),
        ("pipeline-processing-tables", ["run", "vacuum"]),
    ] == made
    assert len(made) == ran.stdout.count("kubectl -n pipeline logs job.batch/made")


def test_there_is_something_to_check() -> None:
    assert (True, True) == (len(COMMANDS) >= 8, len(JOBS) >= 5)


def test_every_kubectl_says_in_which_namespace() -> None:
    lines = [
        line for line in PAGE.splitlines() if re.search(r"kubectl (?!-n (?:pipeline|keda) )(?!create -f -)[a-z-]", line)
    ]
    assert [] == lines


def test_nothing_is_done_to_whatever_else_is_in_the_namespace() -> None:
    changed = re.findall(r"kubectl -n \w+ (?:annotate|scale|patch|delete)[^\n`]*", PAGE)
    assert [] == [line for line in changed if " --all" in line]
    assert 6 <= len(changed)


def test_what_is_annotated_is_annotated_off_again() -> None:
    keys = re.findall(r"annotate (\w+) .*?(autoscaling\.keda\.sh/[a-z-]+?)(=\S+|-)(?=\s|`|$)", PAGE)
    on, off = ({(kind, key) for kind, key, value in keys if (value == "-") is is_off} for is_off in (False, True))
    assert {
        ("scaledobjects", "autoscaling.keda.sh/paused-replicas"),
        ("scaledjobs", "autoscaling.keda.sh/paused"),
    } == on
    assert on == off


def test_the_charts_example_beside_the_least_values_is_safe(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("PIPELINE_CONTRACTS_DIR", raising=False)
    chart = ROOT / "charts/pipeline-processing"
    (example,) = re.findall(r"```\n(lanes: .*?)```", (chart / "README.md").read_text(), re.DOTALL)
    (values := tmp_path / "values.yaml").write_text(example)
    assert 0 == main(["doctor", "--chart", f"{chart}/ci/minimal.yaml", "--chart", str(values)]), capsys.readouterr().out
