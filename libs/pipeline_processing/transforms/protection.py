"""Values of protected columns as keyed digests: equal values stay equal, and nobody without the key can tell them."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final

import polars as pl

from etl_core.errors import ConfigError
from pipeline_processing.transforms.memo import Memo

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline_processing.contracts.model import Protection

SETTING: Final = "PIPELINE_TOKEN_KEY"
_MARK: Final = "tok_"
_TOKEN_DIGITS: Final = 32


def protector(protection: Protection, key: bytes | None, *, column: str) -> Callable[[pl.Series], pl.Series]:
    """Return a function that replaces a Series' values by texts: 64 hex digits, or ``tok_`` and the first 32 of them.

    ConfigError without a key. Digests are of the value as text in UTF-8, by HMAC-SHA-256 (RFC 2104).
    """
    if not key:
        raise ConfigError(
            f"column {column!r} is protected, and there is no key to protect it with", way_out=f"set {SETTING}"
        )

    def digest(text: str) -> str:
        found = hmac.digest(key, text.encode(), "sha256").hex()
        return found if protection == "hash" else _MARK + found[:_TOKEN_DIGITS]

    memo = Memo(digest)
    return lambda values: memo(values.cast(pl.String)).alias(values.name)
