"""The Dockerfile and the scripts, as their linters see them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import unavailable

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
COMPOSE = DOCKER / "compose.yaml"
SCRIPTS = sorted([*DOCKER.rglob("*.sh"), ROOT / ".ci" / "run"])


def checked(tool: str, *arguments: str | Path) -> str:
    """Run one of the developers' tools; what it found."""
    program = shutil.which(tool, path=Path(sys.executable).parent) or shutil.which(tool)
    if program is None:
        unavailable(f"{tool} is not installed (extra `dev`)")
    done = subprocess.run([str(program), *arguments], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr or f"exit code {done.returncode}"


def test_the_dockerfile_follows_the_rules() -> None:
    assert "" == checked("hadolint", "--no-color", DOCKER / "Dockerfile")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_each_script_follows_the_rules(script: Path) -> None:
    assert "" == checked("shellcheck", "--enable", "all", "--exclude", "SC2250,SC2310,SC2311,SC2312", script)
    assert script.stat().st_mode & 0o111 or script.parent.name == ".ci"


def test_where_the_tools_can_not_be_had_it_is_said_and_not_taken_for_a_fault(tmp_path: Path) -> None:
    """As on a machine that has neither buildah nor apt-get."""
    for tool in ("bash", "uname"):
        (tmp_path / tool).symlink_to(str(shutil.which(tool)))
    command = [str(shutil.which("bash")), str(DOCKER / "ci" / "tools.sh")]
    done = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert 3 == done.returncode
    reason = (
        "no apt-get here to install with: buildah mmdebstrap podman runc" if os.geteuid() == 0 else "root is needed"
    )
    assert done.stderr.startswith(reason), done.stderr
