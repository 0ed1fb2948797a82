"""Rung 7: checkov, offline, over what is rendered and over the Dockerfile. What is waived has a reason."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.chart import tools

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chart.rendering import Chart

WAIVED = {
    "CKV_DOCKER_2": "Kubernetes asks by probes and reads no HEALTHCHECK; a Job has nothing to ask",
    "CKV_DOCKER_7": "the base is an argument, and its default is pinned, which checkov does not follow",
    "CKV_K8S_11": "a limit of CPU throttles a pod that could have used an idle core; its request keeps others' share",
    "CKV_K8S_15": "tags and digests are pinned: to pull always would make the registry part of every scale-up",
    "CKV_K8S_35": "the product reads its settings, secrets among them, from variables: one way, not two",
    "CKV_K8S_43": "image.digest is the installer's to give; the examples name tags that exist",
}
"""By checkov's id. One that nothing needs any more is a finding, too."""

DOCKERFILE = tools.ROOT / "docker" / "Dockerfile"


def rung(chart: Chart) -> list[str]:
    """Run checkov once, over the different renders and the image's Dockerfile."""
    texts = {render.text: render.name for render in chart.renders()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, text in enumerate(texts):
            (folder / f"{number}.yaml").write_text(text, encoding="utf-8")
        shutil.copy(DOCKERFILE, folder / "Dockerfile")
        failed = list(_failed(folder))
    needless = WAIVED.keys() - {identity for identity, _ in failed}
    return list(dict.fromkeys(text for identity, text in failed if identity not in WAIVED)) + [
        f"{identity} is waived, and nothing needs that" for identity in sorted(needless)
    ]


def _failed(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the id and words of every failed check; RuntimeError where checkov saw nothing or could not read all."""
    told_what = ["--directory", str(folder), "--framework", "kubernetes", "dockerfile", "--skip-download"]
    done = subprocess.run(
        [tools.checkov(), "-m", "checkov.main", *told_what, "--compact", "--quiet", "--output", "json"],
        capture_output=True,
        text=True,
        check=False,
        env=tools.environment() | {"LOG_LEVEL": "ERROR"},
    )
    try:
        told: Any = json.loads(done.stdout)
    except ValueError:
        raise RuntimeError(f"checkov ended with {done.returncode}: {done.stderr[-500:]}") from None
    for report in told if isinstance(told, list) else [told]:
        summary = report.get("summary") or {}
        if not summary.get("passed") or summary.get("parsing_errors"):
            raise RuntimeError(f"checkov did not read everything: {summary or report}")
        for check in report["results"]["failed_checks"]:
            yield check["check_id"], f"{check['check_id']} {check['check_name']}: {check['resource']}"
