"""The developer's entry: a mounted source tree in a plain Python image, and in the product's own."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from tests.image.conftest import BUILD_BASE, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.image.conftest import Engine

pytestmark = pytest.mark.timeout(900)

ENTRY = ("--entrypoint", "/source/docker/docker-entrypoint.sh", "--volume", f"{ROOT}:/source:ro")
SKIP = ("--env", "SKIP_INSTALL=1")
WHERE = "import etl_core; print(etl_core.__file__)"


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[Path]:
    """Return a folder that the container may fill; it is too big to be kept with the other tests' folders."""
    folder = tmp_path / "environment"
    folder.mkdir()
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.usefixtures("image")
def test_it_installs_what_the_lock_names_once(engine: Engine, environment: Path) -> None:
    """From the wheels that the image was built of: then it needs no network here."""
    (wheels,) = (ROOT / ".tools" / "image" / "wheels").iterdir()
    options = (
        *ENTRY,
        *("--env", "ENVIRONMENT=/environment", "--volume", f"{environment}:/environment"),
        *(
            "--env",
            "PIP_NO_COMPILE=1",
            "--env",
            "PIP_NO_INDEX=1",
            "--env",
            "PIP_FIND_LINKS=/wheels",
            "--volume",
            f"{wheels}:/wheels:ro",
        ),
    )
    first = engine.run(BUILD_BASE, "pipeline-processing", "version", options=options)
    assert (0, True) == (first.returncode, "installing into /environment" in first.stderr), first.stderr
    second = engine.run(BUILD_BASE, "pipeline-processing", "version", options=options)
    assert (0, first.stdout, "") == (second.returncode, second.stdout, second.stderr)
    (environment / "installed").write_text("of another lock")
    third = engine.run(BUILD_BASE, "pipeline-processing", "version", options=(*options, *SKIP))
    assert (0, "") == (third.returncode, third.stderr)


@pytest.mark.usefixtures("image")
def test_without_anything_installed_it_says_so(engine: Engine) -> None:
    done = engine.run(BUILD_BASE, "pipeline-processing", "version", options=(*ENTRY, *SKIP))
    assert 2 == done.returncode
    assert "there is no pipeline-processing here; without SKIP_INSTALL=1 it would be installed" in done.stderr


def test_it_needs_no_home_and_finds_its_source_through_a_link(tmp_path: Path) -> None:
    link = tmp_path / "entry"
    link.symlink_to(ROOT / "docker" / "docker-entrypoint.sh")
    done = subprocess.run(
        [link, "sh", "-c", 'echo "$PYTHONPATH"'],
        env={"PATH": "/usr/bin:/bin", "SKIP_INSTALL": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (0, f"{ROOT}/libs:{ROOT}/services\n", "") == (done.returncode, done.stdout, done.stderr)


def test_in_the_products_image_the_mounted_source_is_what_runs(engine: Engine, image: str) -> None:
    done = engine.run(image, "python", "-c", WHERE, options=(*ENTRY, *SKIP))
    assert (0, "/source/libs/etl_core/__init__.py\n") == (done.returncode, done.stdout), done.stderr
    own = engine.run(image, "-c", WHERE, options=("--entrypoint", "python"))
    assert own.stdout.startswith("/opt/pipeline-processing/lib/")
