"""What no linter knows: the rules of this codebase about its own text."""

from __future__ import annotations

import ast
import re
import subprocess
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = sorted(path for folder in ("libs", "services") for path in (ROOT / folder).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))

LINES = 400
CLOCK = "libs/etl_core/clock.py"
LAUNCHER = "services/pipeline_local/"
"""The local stack starts and waits for other programs, before there is anything to inject a clock into."""

FORBIDDEN = {
    "datetime.datetime.now": (CLOCK,),
    "datetime.datetime.utcnow": (),
    "datetime.datetime.today": (),
    "datetime.date.today": (),
    "time.time": (CLOCK, LAUNCHER),
    "time.monotonic": (CLOCK, LAUNCHER),
    "time.perf_counter": (CLOCK,),
    "time.sleep": (LAUNCHER,),
    "asyncio.sleep": (
        CLOCK,
        LAUNCHER,
        "libs/etl_core/testing/",
        "libs/etl_core/objects/memory.py",
        "libs/etl_core/queue/memory.py",
    ),
    "random": ("libs/pipeline_processing/service_handler.py", "bootstrap.py"),
    "secrets": (LAUNCHER,),
    "uuid": ("libs/pipeline_processing/service_handler.py", "bootstrap.py"),
    "os.environ": (LAUNCHER, "libs/etl_core/memory.py", "libs/etl_core/settings.py"),
    "os.getenv": (),
    "unittest.mock": (),
}
"""What product code takes from outside instead: Clock, jitter, nonce, Settings; and the few places that may not."""

OUTSIDE = re.compile(r"(?<![\w./])/(?:work|home|root|Users)/\w|(?<![\w./])/tmp/\w")
REGISTRIES = re.compile(
    r"(?<![\w.-])(?:pypi\.org|files\.pythonhosted\.org|test\.pypi\.org|registry\.npmjs\.org|proxy\.golang\.org|crates\.io)"
)


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout: its files can not be told from others")
    return [path for line in listed.stdout.splitlines() if (path := ROOT / line).is_file()]


def uses(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and full dotted name of everything that ``source`` imports or reads from an imported module."""
    tree = ast.parse(source)
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
                names[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and (dotted := _dotted(node)):
            first, _, rest = dotted.partition(".")
            if first in names:
                yield node.lineno, f"{names[first]}.{rest}"


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = _dotted(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    return ""


def breaches(name: str, source: str) -> list[str]:
    """Return what ``source``, the file called ``name``, uses and may not."""
    return sorted(
        {
            f"{name}:{line} {rule}"
            for line, used in uses(source)
            for rule, allowed in FORBIDDEN.items()
            if (used == rule or used.startswith(f"{rule}."))
            and not any(name.startswith(place) or name.endswith(f"/{place}") for place in allowed)
        }
    )


@pytest.mark.parametrize(
    ("source", "rule"),
    [
        ("from datetime import datetime\ndatetime.now()", "datetime.datetime.now"),
        ("import datetime as dt\ndt.datetime.now(dt.UTC)", "datetime.datetime.now"),
        ("import time\ntime.sleep(1)", "time.sleep"),
        ("from time import sleep", "time.sleep"),
        ("import random as r\nr.random()", "random"),
        ("from random import random", "random"),
        ("import os\nprint(os.environ['A'])", "os.environ"),
        ("from os import environ", "os.environ"),
        ("from unittest.mock import patch", "unittest.mock"),
        ("import asyncio\nasync def f():\n    await asyncio.sleep(0)", "asyncio.sleep"),
    ],
)
def test_the_check_itself_finds_each_form(source: str, rule: str) -> None:
    assert {rule} == {breach.partition(" ")[2] for breach in breaches("libs/x/y.py", source)}


def test_product_code_is_given_time_chance_and_settings() -> None:
    assert [] == [breach for path in PRODUCT for breach in breaches(_name(path), path.read_text(encoding="utf-8"))]


def test_tests_patch_nothing() -> None:
    mocked = [
        f"{_name(path)}:{line}"
        for path in TESTS
        for line, used in uses(path.read_text(encoding="utf-8"))
        if used.startswith("unittest.mock")
    ]
    assert [] == mocked


def test_no_module_is_longer_than_one_can_hold() -> None:
    sizes = {_name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in PRODUCT}
    assert {} == {name: lines for name, lines in sizes.items() if lines > LINES}


@pytest.mark.parametrize("path", [*PRODUCT, *TESTS], ids=_name)
def test_every_exception_from_a_rule_says_why(path: Path) -> None:
    silent = []
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type == tokenize.COMMENT and re.search(r"\bnoqa\b|type:\s*ignore", token.string):
                reasoned = re.match(r"#\s*(?:noqa: [A-Z0-9, ]+- \S|type: ignore\[[\w, -]+\]\s*# \S)", token.string)
                if not reasoned:
                    silent.append(f"{_name(path)}:{token.start[0]} {token.string}")
    assert [] == silent


def test_no_file_names_a_path_outside_the_repository_or_a_package_registry() -> None:
    found = []
    for path in _tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), start=1):
            if path != Path(__file__).resolve() and (OUTSIDE.search(line) or REGISTRIES.search(line)):
                found.append(f"{_name(path)}:{number} {line.strip()[:100]}")
    assert [] == found


def test_every_package_is_marked_as_typed() -> None:
    packages = [path for folder in ("libs", "services") for path in (ROOT / folder).iterdir() if path.is_dir()]
    assert [] == [
        _name(path) for path in packages if (path / "__init__.py").is_file() and not (path / "py.typed").is_file()
    ]


def test_a_job_module_is_thin() -> None:
    """SQL, boto calls and pydantic models belong elsewhere: a job parses, wires and maps results to an exit code."""
    heavy = ("asyncpg", "boto", "aioboto", "polars", "pydantic")
    found = [
        f"{_name(path)}: {used}"
        for path in (ROOT / "libs/pipeline_processing/jobs").glob("*.py")
        for _, used in uses(path.read_text(encoding="utf-8"))
        if used.startswith(heavy)
    ]
    assert [] == found
