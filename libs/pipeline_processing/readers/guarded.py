"""What Polars and calamine raise for a damaged file, told as InvalidData."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import polars as pl

from etl_core.errors import InvalidData

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def reading(name: str, what: str, *errors: type[Exception]) -> Iterator[None]:
    """Turn Polars' errors, Rust's panics and ``errors`` into InvalidData: ``name`` can not be read as ``what``."""
    told: tuple[type[Exception], ...] = (pl.exceptions.PolarsError, *errors)
    try:
        yield
    except told as error:
        raise InvalidData(f"{name}: {what} that can not be read") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # Rust's; no Exception, and no class that can be imported
            raise
        raise InvalidData(f"{name}: {what} that can not be read") from error
