"""What ministack's S3 does otherwise than AWS, where the product would notice; one section a difference."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, unquote

from ministack.services import s3

from pipeline_local.launcher.sorted_keys import SortedKeys, page_of

if TYPE_CHECKING:
    from collections.abc import Callable

KEY_LIMIT: Final = 1024
_UPLOAD_ID: Final = re.compile(rb"<UploadId>([^<]+)</UploadId>")

Answer = tuple[int, dict[str, Any], bytes]
Headers = dict[str, str]

_original_put = s3._put_object
_original_copy = s3._copy_object
_original_part_copy = s3._upload_part_copy
_original_create_upload = s3._create_multipart_upload
_original_complete = s3._complete_multipart_upload
_original_list_v1 = s3._list_objects_v1
_original_list_v2 = s3._list_objects_v2


def install() -> None:
    """Replace the handlers; call before the first request."""
    s3._put_object = _put
    s3._copy_object = _copy
    s3._upload_part_copy = _part_copy
    s3._create_multipart_upload = _create_upload
    s3._complete_multipart_upload = _complete
    s3._list_objects_v1 = _listing(_original_list_v1)
    s3._list_objects_v2 = _listing(_original_list_v2)
    s3._collect_list_entries = _collect


# A key has at most 1,024 bytes of UTF-8: "Creating object key names", user guide.


def _key_fault(key: str) -> Answer | None:
    if len(key.encode(errors="replace")) <= KEY_LIMIT:
        return None
    return s3._error("KeyTooLongError", "Your key is too long", 400)  # type: ignore[no-any-return] # the patched program is not typed


# PutObject echoes the checksum; and what replaces an object also replaces its tags, by none if it brings none.


def _put(bucket: str, key: str, body: bytes, headers: Headers) -> Answer:
    if fault := _key_fault(key):
        return fault
    status, answer, content = _original_put(bucket, key, body, headers)
    if status == 200:  # noqa: PLR2004 - HTTP's own number
        record = s3._buckets[bucket]["objects"][key]
        for algorithm, value in record["checksums"].items():
            answer[f"x-amz-checksum-{algorithm.lower()}"] = value
        if record["checksums"]:
            answer["x-amz-checksum-type"] = "FULL_OBJECT"
        _set_tags(bucket, key, record, headers.get("x-amz-tagging", ""))
    return status, answer, content


def _set_tags(bucket: str, key: str, record: dict[str, Any], tagging: str) -> None:
    place = (bucket, key, record.get("version_id"))
    tags = {name: values[0] for name, values in parse_qs(tagging, keep_blank_values=True).items()}
    if tags == (s3._object_tags.get(place) or {}):
        return
    s3._object_tags.pop(place, None)
    if tags:
        s3._object_tags[place] = tags
    if s3.S3_PERSIST:
        s3._persist_object(bucket, key, record)


# CreateMultipartUpload takes tags, which the completed object has.


def _create_upload(bucket: str, key: str, headers: Headers) -> Answer:
    if fault := _key_fault(key):
        return fault
    answer: Answer = _original_create_upload(bucket, key, headers)
    upload = _UPLOAD_ID.search(answer[2])
    if upload:
        s3._multipart_uploads[upload[1].decode()]["tagging"] = headers.get("x-amz-tagging", "")
    return answer


def _complete(bucket: str, key: str, body: bytes, query: dict[str, Any], headers: Headers | None = None) -> Answer:
    upload = s3._multipart_uploads.get(s3._qp(query, "uploadId"))
    answer: Answer = _original_complete(bucket, key, body, query, headers)
    if answer[0] == 200 and upload is not None:  # noqa: PLR2004 - HTTP's own number
        _set_tags(bucket, key, s3._buckets[bucket]["objects"][key], upload.get("tagging", ""))
    return answer


# An archived source can not be copied (InvalidObjectState); a copy may ask for a checksum algorithm and may be
# conditional; and a copy that is one request has a plain MD5 as its ETag, whatever its source's was: API_CopyObject.


def _copy(bucket: str, key: str, headers: Headers) -> Answer:
    if fault := _key_fault(key) or _archive_fault(headers):
        return fault
    target = s3._ensure_bucket(bucket)
    condition: Answer | None = s3._check_put_preconditions(headers, target["objects"].get(key)) if target else None
    if condition:
        return condition
    if "x-amz-checksum-algorithm" in headers:
        headers = {**headers, "x-amz-sdk-checksum-algorithm": headers["x-amz-checksum-algorithm"]}
    status, answer, content = _original_copy(bucket, key, headers)
    if status != 200 or b"-" not in content.partition(b"<ETag>")[2].partition(b"</ETag>")[0]:  # noqa: PLR2004 - HTTP's
        return status, answer, content
    record = s3._buckets[bucket]["objects"][key]
    plain = hashlib.md5(s3._read_body(bucket, key, record), usedforsecurity=False).hexdigest()
    content = content.replace(record["etag"].strip('"').encode(), plain.encode())
    record["etag"] = f'"{plain}"'
    if s3.S3_PERSIST:
        s3._persist_object(bucket, key, record)
    return status, answer, content


def _part_copy(bucket: str, key: str, query: dict[str, Any], headers: Headers) -> Answer:
    return _archive_fault(headers) or _original_part_copy(bucket, key, query, headers)


def _archive_fault(headers: Headers) -> Answer | None:
    path, _, query = headers.get("x-amz-copy-source", "").lstrip("/").partition("?")
    name, _, key = unquote(path).partition("/")
    bucket = s3._ensure_bucket(name)
    record = bucket["objects"].get(key) if bucket else None
    version = parse_qs(query).get("versionId", [None])[0]
    if version and (record is None or record.get("version_id") != version):
        versions = s3._object_versions.get((name, key)) or []
        record = next((one for one in versions if one["version_id"] == version), None)
    storage_class = (record or {}).get("storage_class") or "STANDARD"
    if storage_class not in s3._ARCHIVE_STORAGE_CLASSES or s3._sync_restore(name, key, record) == "restored":
        return None
    return s3._invalid_object_state(name, key, storage_class)  # type: ignore[no-any-return] # the patched program is not typed


# A page of a listing must not sort the whole bucket.


def _listing(original: Callable[[str, dict[str, Any]], Answer]) -> Callable[[str, dict[str, Any]], Answer]:
    def listed(name: str, query: dict[str, Any]) -> Answer:
        bucket = s3._ensure_bucket(name)
        if bucket is not None and not isinstance(bucket["objects"], SortedKeys):
            bucket["objects"] = SortedKeys(bucket["objects"])
        return original(name, query)

    return listed


def _collect(
    objects: SortedKeys, prefix: str, delimiter: str, limit: int, start_after: str
) -> tuple[list[str], list[str], bool, str]:
    page = page_of(objects.ordered, prefix, delimiter, min(limit, 1000), start_after)
    return page.keys, page.prefixes, page.is_truncated, page.marker
