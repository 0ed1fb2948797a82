"""What S3 refuses, checked before a call: the store in memory and the real one refuse the same things alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etl_core.errors import InvalidData
from etl_core.objects import KEY_LIMIT, METADATA_LIMIT

if TYPE_CHECKING:
    from collections.abc import Mapping


def check_key(key: str) -> None:
    """Raise InvalidData for a key that S3 can not hold."""
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise InvalidData(f"key {key!r} is not valid Unicode") from None
    if not 0 < size <= KEY_LIMIT:
        raise InvalidData(f"a key has 1 to {KEY_LIMIT} bytes of UTF-8, this one has {size}")


def check_metadata(metadata: Mapping[str, str]) -> None:
    """Raise InvalidData for user metadata that can not travel in headers.

    They are ASCII, without control characters, and small.
    """
    for name, value in metadata.items():
        if not name or not (name + value).isascii() or not (name + value).isprintable():
            raise InvalidData(f"metadata {name!r}: names and values are printable ASCII; encode anything else")
        if value != value.strip():
            raise InvalidData(f"metadata {name!r}: headers lose spaces around a value; encode them")
    size = sum(len(name) + len(value) for name, value in metadata.items())
    if size > METADATA_LIMIT:
        raise InvalidData(f"{size} bytes of metadata are over S3's {METADATA_LIMIT}")
