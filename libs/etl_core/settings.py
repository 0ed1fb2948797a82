"""Typed settings, read once at start; all faults are reported at once."""

from __future__ import annotations

import difflib
import os
import re
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

from pydantic import BeforeValidator, ValidationError
from pydantic_settings import BaseSettings

from etl_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

_ASSUMED: Final[ContextVar[Mapping[str, str]]] = ContextVar("assumed")

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, None: 1.0}


def parse_duration(value: object) -> object:
    """Read ``90``, ``90s``, ``1.5m``, ``2h``, ``14d`` (seconds where no unit is given).

    Leave what is not text to the validator.
    """
    if isinstance(value, str):
        match = _DURATION.fullmatch(value.strip())
        if not match:
            msg = f"{value!r} is not a duration such as 90s, 5m, 2h or 14d"
            raise ValueError(msg)
        try:
            return timedelta(seconds=float(match[1]) * _SECONDS[match[2]])
        except OverflowError:
            msg = f"{value!r} is longer than any duration"
            raise ValueError(msg) from None
    return value


def environment() -> Mapping[str, str]:
    """Return the process's environment, for those who ask which variables are set; their values are `load`'s."""
    return os.environ


def unknown(kind: type[BaseSettings], names: Iterable[str], *, known: Collection[str] = ()) -> dict[str, str]:
    """Return those of ``names`` that have the settings' prefix and set nothing, each with what was meant, or ""."""
    prefix = str(kind.model_config.get("env_prefix", "")).upper()
    fields = {f"{prefix}{name}".upper() for name in kind.model_fields} | set(known)
    strangers = sorted(name for name in names if name.startswith(prefix) and name not in fields)
    return {name: next(iter(difflib.get_close_matches(name, fields, n=1, cutoff=0.8)), "") for name in strangers}


@contextmanager
def assuming(fields: Mapping[str, str]) -> Iterator[None]:
    """Let `load` take these values before the environment's: to check here what is going to run elsewhere."""
    token = _ASSUMED.set(fields)
    try:
        yield
    finally:
        _ASSUMED.reset(token)


S = TypeVar("S", bound=BaseSettings)

Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
"""A timedelta that environment variables spell as ``90s``, ``5m``, ``2h``, ``14d``."""


def load(kind: type[S], **overrides: Any) -> S:  # noqa: ANN401 - the fields' own types are checked by pydantic
    """Return the settings, or raise one ConfigError that lists every fault with its variable's name."""
    prefix = str(kind.model_config.get("env_prefix", ""))
    assumed = {name: value for name, value in _ASSUMED.get({}).items() if name in kind.model_fields}
    try:
        return kind(**{**assumed, **overrides})
    except ValidationError as error:
        faults = [
            f"{prefix}{'_'.join(str(part) for part in fault['loc'])}".upper()
            + f": {fault['msg'].removeprefix('Value error, ')}"
            for fault in error.errors()
        ]
        raise ConfigError("; ".join(faults), where="settings", way_out="correct these environment variables") from None
