"""Fetch the wheels of the image's Python into a folder, with this machine's pip and all that it is configured with.

Whatever index, certificate or password pip needs here, the build then needs no network, and the image knows none of it.
Prints the folder.
"""
# ruff: noqa: INP001 - a script, not a package

from __future__ import annotations

import hashlib
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
LOCKS = (ROOT / "requirements.lock", ROOT / "docker" / "requirements-build.lock")
PYTHON = "3.13"
NEWEST_GLIBC = 41
"""Debian trixie's is 2.41; a wheel for an older one runs there, too."""


def main() -> int:
    """Fetch what is not there yet; pip's exit code."""
    digest = hashlib.sha256(b"".join(lock.read_bytes() for lock in LOCKS)).hexdigest()[:12]
    home = ROOT / ".tools" / "image" / "wheels"
    folder = home / digest
    if not folder.is_dir():
        shutil.rmtree(home, ignore_errors=True)
        draft = home / "draft"
        draft.mkdir(parents=True)
        for lock in LOCKS:
            if code := _download(lock, draft):
                return code
        draft.rename(folder)  # whole or not at all
    print(folder)  # noqa: T201 - what the caller reads
    return 0


def _download(lock: Path, folder: Path) -> int:
    chosen = folder / "requirements.txt"
    chosen.write_text(applicable(lock.read_text(encoding="utf-8")), encoding="utf-8")
    machine = platform.machine()
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(NEWEST_GLIBC, 4, -1)]
    platforms += [f"manylinux2014_{machine}", f"manylinux2010_{machine}", f"manylinux1_{machine}"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--requirement", str(chosen)]
    command += ["--implementation", "cp", "--python-version", PYTHON, "--dest", str(folder)]
    command += [option for name in platforms for option in ("--platform", name)]
    code = subprocess.run(command, check=False).returncode  # noqa: S603 - our own command
    chosen.unlink()
    return code


def applicable(lock: str) -> str:
    """Return the entries of ``lock`` that hold for the image's Python: pip itself would ask the one it runs in."""
    target = {
        "implementation_name": "cpython",
        "os_name": "posix",
        "platform_machine": platform.machine(),
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": f"{PYTHON}.0",
        "python_version": PYTHON,
        "sys_platform": "linux",
    }
    entries = lock.replace("\\\n", " ").splitlines()
    kept = []
    for entry in entries:
        if not entry.strip() or entry.startswith("#"):
            continue
        requirement, *hashes = entry.split("--hash=")
        marker = Requirement(requirement.strip()).marker
        if marker is None or marker.evaluate(dict(target)):
            named = requirement.partition(";")[0].strip()
            kept.append(" ".join([named, *(f"--hash={one.strip()}" for one in hashes)]))
    return "".join(f"{line}\n" for line in kept)


if __name__ == "__main__":
    sys.exit(main())
