"""What a copy says of its source, in S3 user metadata. Pure.

Metadata travel in HTTP headers: printable ASCII, trimmed, 2 KiB in all. Values that are not so are written as one RFC
2047 word (``=?UTF-8?B?…?=``), which is also how S3 itself shows such values.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import TYPE_CHECKING, Final

from etl_core.objects import METADATA_LIMIT

if TYPE_CHECKING:
    from collections.abc import Mapping

BUCKET: Final = "source-bucket"
KEY: Final = "source-key"
KEY_DIGEST: Final = "source-key-sha256"
ETAG: Final = "source-etag"
DROPPED: Final = "source-metadata-dropped"
"""How many of the source's own values found no room."""

_OPEN: Final = "=?UTF-8?B?"
_CLOSE: Final = "?="


def encode(value: str) -> str:
    """Return ``value`` as a header can carry it; what already looks encoded is encoded once more."""
    plain = value.isascii() and value.isprintable() and value == value.strip() and not value.startswith("=?")
    return value if plain else f"{_OPEN}{base64.b64encode(value.encode()).decode()}{_CLOSE}"


def decode(value: str) -> str:
    """Return what `encode` was given; a value that it did not make comes back as it is."""
    if not (value.startswith(_OPEN) and value.endswith(_CLOSE)):
        return value
    try:
        return base64.b64decode(value[len(_OPEN) : -len(_CLOSE)], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return value


def describe(bucket: str, key: str, etag: str, *, carried: Mapping[str, str]) -> dict[str, str]:
    """Return the copy's metadata: what the source carried, and where it comes from.

    What does not fit the limit gives way: first the key to its SHA-256, then the carried values, longest first.
    """
    own = {BUCKET: bucket, KEY: encode(key), ETAG: encode(etag)}
    kept = {name: encode(value) for name, value in carried.items() if name not in {*own, KEY_DIGEST, DROPPED}}
    if _size(own | kept) > METADATA_LIMIT:
        del own[KEY]
        own[KEY_DIGEST] = _digest(key)
    while _size(own | kept) > METADATA_LIMIT:
        del kept[max(kept, key=lambda name: (len(name) + len(kept[name]), name))]
        own[DROPPED] = str(int(own.get(DROPPED, "0")) + 1)
    return own | kept


def is_of(metadata: Mapping[str, str], *, bucket: str, key: str, etag: str) -> bool:
    """Say whether ``metadata`` are those of a copy of exactly this source."""
    names_key = metadata[KEY_DIGEST] == _digest(key) if KEY_DIGEST in metadata else decode(metadata.get(KEY, "")) == key
    return names_key and metadata.get(BUCKET) == bucket and decode(metadata.get(ETAG, "")) == etag


def is_any_copy(metadata: Mapping[str, str], *, bucket: str) -> bool:
    """Say whether ``metadata`` are those of a copy of anything in ``bucket``: it can be made again."""
    return metadata.get(BUCKET) == bucket


def note(metadata: Mapping[str, str]) -> str:
    """Say where the copy's metadata tell less than usual, or nothing."""
    if KEY_DIGEST not in metadata:
        return ""
    dropped = f", {metadata[DROPPED]} of the source's own are dropped" if DROPPED in metadata else ""
    return f"metadata over {METADATA_LIMIT} bytes: {KEY_DIGEST} stands for {KEY}{dropped}"


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _size(metadata: Mapping[str, str]) -> int:
    return sum(len(name.encode()) + len(value.encode()) for name, value in metadata.items())
