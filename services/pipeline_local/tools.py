"""The endpoint's own virtual environment: its packages contradict the product's, so they are kept apart."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from etl_core.errors import ConfigError
from pipeline_local.processes import locked

REQUIREMENTS: Final = Path(__file__).with_name("launcher") / "requirements.txt"


def tools_folder() -> Path:
    """Return the cache folder that all of a user's stacks share (``PIPELINE_TOOLS_DIR`` overrides it)."""
    named = os.environ.get("PIPELINE_TOOLS_DIR")
    if named:
        return Path(named).absolute()
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
    folder = Path(cache) / "pipeline-processing" / "tools"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        # An account without a home (nobody, most containers) still has a temporary folder of its own.
        folder = Path(tempfile.gettempdir()) / f"pipeline-processing-tools-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.stat().st_uid != os.getuid():
            raise ConfigError(
                f"{folder} belongs to somebody else", where="local stack", way_out="set PIPELINE_TOOLS_DIR"
            ) from None
    return folder


def endpoint_python(folder: Path | None = None) -> Path:
    """Return the interpreter of the endpoint's environment, made on first use; two processes may ask at once."""
    folder = folder or tools_folder()
    fingerprint = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]
    home = folder / f"endpoint-{fingerprint}-py{sys.version_info.major}.{sys.version_info.minor}"
    python = home / "bin" / "python"
    if not _is_usable(python):
        with locked(folder / "lock"):
            if not _is_usable(python):
                _make(home)
    return python


def _is_usable(python: Path) -> bool:
    """Say whether the environment is complete: it appears by one rename, but its base interpreter may be gone since."""
    return python.exists()


def _make(home: Path) -> None:
    """Build the environment beside its place and move it there whole, so that a half-made one is never used."""
    shutil.rmtree(home, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=home.parent, prefix=".making-", ignore_cleanup_errors=True) as making:
        draft = Path(making) / "environment"
        _run([sys.executable, "-m", "venv", "--without-pip", str(draft)])
        _run([*_installer(draft / "bin" / "python"), "--require-hashes", "--requirement", str(REQUIREMENTS)])
        _run([str(draft / "bin" / "python"), "-I", "-c", "import ministack.app, httptools, uvicorn, uvloop"])
        draft.rename(home)


def _installer(python: Path) -> list[str]:
    """Return the start of an install command for that interpreter: this environment's pip, else uv."""
    if importlib.util.find_spec("pip"):
        pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "--quiet"]
        # What PYTHONPATH shows would count as installed, and the endpoint runs without it.
        return [*pip, "install", "--ignore-installed", "--no-compile", "--no-warn-script-location"]
    uv = shutil.which("uv")
    if uv:
        return [uv, "pip", "install", "--quiet", "--python", str(python)]
    raise ConfigError(
        "the local endpoint's packages can not be installed: neither pip nor uv is here",
        where="local stack",
        way_out=f"{sys.executable} -m ensurepip, or install uv",
    )


def _run(command: list[str]) -> None:
    """Run a command quietly; ConfigError with the end of its output when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own commands
    if done.returncode:
        lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        reason = " | ".join(lines[-3:]) or f"exit code {done.returncode}"
        raise ConfigError(
            f"the local endpoint's environment can not be made: {reason}",
            where="local stack",
            way_out="check that pip reaches a package index, then try again",
        )
