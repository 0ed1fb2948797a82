"""A new job from a template: the job, its processor and its test, which pass every check as they are."""

from __future__ import annotations

import keyword
import re
import sys
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Final

from etl_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

DISTRIBUTION: Final = "pipeline-processing"
NAME_LIMIT: Final = 30
"""Characters; the templates stay in the project's format up to this length."""

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*(?<=.{3})")
_PLACES: Final[Mapping[str, str]] = {
    "job.py": "libs/pipeline_processing/jobs/{name}.py",
    "processor.py": "libs/pipeline_processing/processors/{name}.py",
    "test.py": "tests/unit/test_{name}.py",
}


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file to be written, and its text."""

    path: Path
    text: str


def checkout(folder: Path) -> Path:
    """Return the root of the checkout that ``folder`` is in, or raise ConfigError."""
    for root in (folder, *folder.parents):
        project = root / "pyproject.toml"
        if project.is_file() and _is_ours(project) and (root / "libs/pipeline_processing/jobs").is_dir():
            return root
    raise ConfigError(
        f"{folder} is not in a checkout of {DISTRIBUTION}",
        where="new-job",
        way_out="run it in the repository's folder; a job elsewhere is offered by the entry-point group"
        " pipeline_processing.jobs",
    )


def render(name: str, root: Path) -> list[NewFile]:
    """Return the new job's files; ConfigError for a bad name, or where one of them is there already. Writes nothing."""
    check_name(name)
    words = {"name": name, "class_name": "".join(word.capitalize() for word in name.split("_"))}
    templates = files(__package__) / "templates"
    new = [
        NewFile(
            root / place.format(name=name),
            Template((templates / f"{template}.template").read_text(encoding="utf-8")).substitute(words),
        )
        for template, place in _PLACES.items()
    ]
    there = [str(file.path.relative_to(root)) for file in new if file.path.exists()]
    if there:
        raise ConfigError(
            f"{', '.join(there)} {'is' if len(there) == 1 else 'are'} there already",
            where="new-job",
            way_out="choose another name; nothing was written",
        )
    return new


def write(new: list[NewFile]) -> None:
    """Write the files; one that appeared meanwhile is not replaced."""
    for file in new:
        file.path.parent.mkdir(parents=True, exist_ok=True)
        with file.path.open("x", encoding="utf-8", newline="\n") as out:
            out.write(file.text)


def check_name(name: str) -> None:
    """Raise ConfigError unless ``name`` can be a module's and a job's."""
    fault = ""
    if not _NAME.fullmatch(name):
        fault = "is not a lower-case Python name such as normalize_ranks, of 3 characters or more"
    elif len(name) > NAME_LIMIT:
        fault = f"is longer than {NAME_LIMIT} characters"
    elif keyword.iskeyword(name) or name in sys.stdlib_module_names or name == "registry":
        fault = "is a name that Python or the registry needs"
    if fault:
        near = re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()).strip("_0123456789")
        way_out = f"did you mean {near}?" if near != name and _NAME.fullmatch(near) else "choose another name"
        raise ConfigError(f"{name!r} {fault}", where="new-job", way_out=way_out)


def _is_ours(project: Path) -> bool:
    try:
        document = tomllib.loads(project.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        return False
    return bool(document.get("project", {}).get("name") == DISTRIBUTION)
