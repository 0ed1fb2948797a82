"""What Helm makes of the chart, for every file of values in its ``ci`` folder."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from tests.chart import tools

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KUBERNETES = ("1.33.0", "1.34.0", "1.35.0")
"""The versions that the pinned KEDA supports."""
INSTALLED = ("keda.sh/v1alpha1", "monitoring.coreos.com/v1")
"""API groups that an operator brings; offline, Helm has to be told."""
RELEASE = "pipeline"
LONGEST_RELEASE = "the-longest-name-that-helm-takes-for-a-release-is-53x"
"""53 characters: what is derived from it must keep Kubernetes' limits, and stay apart."""


class RenderError(Exception):
    """Helm refused; the message is Helm's."""


@dataclass(frozen=True)
class Render:
    """One outcome of ``helm template``: with which values, for which Kubernetes, and what came out."""

    name: str
    kubernetes: str
    text: str


@dataclass(frozen=True)
class Chart:
    """A chart's folder, and how widely to look at it: the mutation check narrows that for speed."""

    path: Path
    helms: tuple[str, ...] = tuple(tools.HELMS)
    kubernetes: tuple[str, ...] = KUBERNETES
    examples: tuple[str, ...] = ("*",)

    def values(self) -> list[Path]:
        """Return the chart's own examples of values: what CI installs."""
        return sorted(path for name in self.examples for path in (self.path / "ci").glob(f"{name}.yaml"))

    def renders(self, *, release: str = RELEASE) -> Iterator[Render]:
        """Yield every example for every Kubernetes, by the first Helm; RenderError where it refuses one."""
        for values in self.values():
            for kubernetes in self.kubernetes:
                text = template(self.path, values, kubernetes, self.helms[0], release)
                yield Render(f"{values.name} for Kubernetes {kubernetes}", kubernetes, text)


@lru_cache(maxsize=1024)
def template(chart: Path, values: Path, kubernetes: str, helm: str, release: str = RELEASE) -> str:
    """Return the manifests, hooks and all."""
    installed = [argument for api in INSTALLED for argument in ("--api-versions", api)]
    given = ["--namespace", "fleet", "--values", str(values), "--kube-version", kubernetes, *installed]
    return _helm(helm, ["template", release, str(chart), *given])


def lint(chart: Path, values: Path, kubernetes: str, helm: str) -> None:
    """Raise RenderError for what ``helm lint --strict`` complains of."""
    _helm(helm, ["lint", "--strict", str(chart), "--values", str(values), "--kube-version", kubernetes])


def _helm(version: str, arguments: list[str]) -> str:
    done = subprocess.run([tools.helm(version), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line.strip() for line in f"{done.stdout}\n{done.stderr}".splitlines() if line.strip()]
        raise RenderError(f"Helm {version}, {arguments[0]}: {' / '.join(said)}")
    return done.stdout
