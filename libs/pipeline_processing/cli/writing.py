"""Files that a command is told to write: a path that can not be is the command line's fault, said before the work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etl_core.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def check_target(path: Path | None, *, where: str) -> None:
    """ConfigError where ``path`` is a folder, or in none that is there; ``where`` is the option that named it."""
    if path is None:
        return
    if path.is_dir():
        raise ConfigError(f"{path} is a folder", where=where, way_out="name a file")
    if not path.parent.is_dir():
        raise ConfigError(f"{path.parent} is no folder", where=where, way_out="make it first, or name another file")


def write(path: Path, text: str, *, where: str) -> None:
    """Write ``text``; ConfigError where that can not be."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{path} can not be written: {error.strerror}", where=where, way_out="name another file"
        ) from error


def new_folder(folder: Path | None, *, where: str) -> Path | None:
    """Return ``folder``, which must not be there yet; ConfigError where it is, or can not be made."""
    if folder is None:
        return None
    if folder.exists():
        raise ConfigError(f"{folder} is there already", where=where, way_out="name a new folder")
    try:
        folder.mkdir(parents=True)
        folder.rmdir()  # whoever writes into it makes it anew
    except OSError as error:
        raise ConfigError(
            f"{folder} can not be made: {error.strerror}", where=where, way_out="name another folder"
        ) from error
    return folder
