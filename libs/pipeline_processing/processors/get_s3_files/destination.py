"""Where things go: every key of the destination bucket. Pure.

    <prefix>/<agency>/attachments/<relative name>
    <prefix>/<agency>/employment_history/<sha256>.csv
    <prefix>/<agency>/manifest/<sha256>.ndjson | .parquet
    <prefix>/catalog.json

Names are kept exactly, odd ones too, but no name climbs out of its folder: a segment ``.`` or ``..`` is written ``%2E``
or ``%2E%2E``, and a segment that already looks like such an escape gets its ``%`` written ``%25``, so that no two names
share a key.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from etl_core.errors import ConfigError
from etl_core.objects import KEY_LIMIT

if TYPE_CHECKING:
    from typing import Literal

DIGEST_DIGITS: Final = 32
"""Hex digits of a SHA-256 in a content-addressed key: 128 bits."""

_ESCAPED: Final = re.compile(r"%(?:25)*2E(?:%(?:25)*2E)?")
"""What `_segment` writes for a dot segment, and everything that it writes for something that looks so, at any depth."""
_DOTS: Final = {".": "%2E", "..": "%2E%2E"}
_COPIES: Final = {"attachments": "%61ttachments", "employment_history": "%65mployment_history"}
"""Folders that workers may write into, by any name (docs/aws/worker.json): no catalog and no manifest may be in one."""


class UnfitName(ValueError):  # noqa: N818 - it names the finding, and becomes a file's status
    """A name that no destination key can hold; ``status`` is the file's status, the message its reason."""

    def __init__(self, status: Literal["unsafe_key", "key_too_long"], reason: str) -> None:
        self.status = status
        super().__init__(reason)


def clean_prefix(prefix: str) -> str:
    """Return ``prefix`` without slashes at its ends; ConfigError for empty and dot segments, and folders of copies."""
    inner = prefix.strip("/")
    if inner and any(segment in {"", ".", ".."} for segment in inner.split("/")):
        raise ConfigError(
            f"{prefix!r} has an empty or dot segment", where="--destination-prefix", way_out="write it as a/b/c"
        )
    if taken := sorted(set(_COPIES) & set(inner.split("/"))):
        raise ConfigError(
            f"whoever may write attachments could write {catalog_key(inner)}, too",
            where="--destination-prefix",
            way_out=f"call no segment {' or '.join(taken)}",
        )
    return inner


def catalog_key(prefix: str) -> str:
    """Return the key whose replacement is the one atomic step that publishes."""
    return f"{prefix}/catalog.json" if prefix else "catalog.json"


def agency_folder(prefix: str, agency_id: str) -> str:
    """Return the folder that everything of one agency is in; an id with a slash is still one segment."""
    folder = (_DOTS | _COPIES).get(agency_id, agency_id.replace("%", "%25").replace("/", "%2F"))
    return f"{prefix}/{folder}/" if prefix else f"{folder}/"


def attachments_folder(prefix: str, agency_id: str) -> str:
    """Return the folder that no attachment of the agency leaves."""
    return f"{agency_folder(prefix, agency_id)}attachments/"


def content_key(prefix: str, agency_id: str, kind: str, sha256: str, extension: str) -> str:
    """Return the key of a file named by its content: equal bytes share it, others can not overwrite it."""
    return f"{agency_folder(prefix, agency_id)}{kind}/{sha256[:DIGEST_DIGITS]}.{extension}"


def relative_name(source_key: str, source_prefix: str) -> str:
    """Return the source key without the agency's source prefix; a key from elsewhere keeps its whole name."""
    return source_key.removeprefix(source_prefix)


def attachment_key(prefix: str, agency_id: str, name: str) -> str:
    """Return the key for an attachment called ``name`` below its agency's source prefix, or raise UnfitName.

    Injective in ``name``. Empty segments, a leading and a trailing slash are kept: S3 keys are not paths.
    """
    if "\0" in name:
        raise UnfitName("unsafe_key", "the name has a NUL character")
    folder = attachments_folder(prefix, agency_id)
    key = folder + "/".join(_segment(segment) for segment in name.split("/"))
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise UnfitName("unsafe_key", "the name is not valid Unicode") from None
    if size > KEY_LIMIT:
        raise UnfitName("key_too_long", f"the destination key would have {size} bytes; S3 allows {KEY_LIMIT}")
    return key


def _segment(segment: str) -> str:
    if segment in _DOTS:
        return _DOTS[segment]
    return segment.replace("%", "%25") if _ESCAPED.fullmatch(segment) else segment
