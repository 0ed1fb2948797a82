"""The local endpoint's S3 answers as AWS documents it; each name is the documented fact."""

from __future__ import annotations

import base64
import hashlib
import random
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_s3 import S3Client

    from conftest import LocalStack

ODD_KEYS = [
    "plain",
    "with space",
    "  spaces  ",
    "plus+plus",
    "per%cent%20",
    "quest?ion&amp=1#hash",
    "ümläut/☃/漢字/😀",
    "a/../b",
    "../up",
    "./here",
    "..",
    ".",
    "dir/",
    "dir//double",
    "/leading",
    "//two",
    "trailing//",
    "quote\"'<>",
    "back\\slash",
    "x.meta.json",
    "y.tmp",
    "tab\there",
    ".ministack-keys/x",
    "k" * 1024,
    "é" * 512,
    "/".join(["d" * 100] * 10),
]


@pytest.fixture(scope="module")
def s3(local_stack: LocalStack) -> S3Client:
    return local_stack.client("s3")


def fault(call: Callable[[], object]) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call()
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def expect_lost_race(error: ClientError) -> None:
    assert error.response["Error"]["Code"] in {"PreconditionFailed", "ConditionalRequestConflict"}


def keys(s3: S3Client, bucket: str, **options: object) -> list[str]:
    found: list[str] = []
    while True:
        page = s3.list_objects_v2(Bucket=bucket, **options)
        found += [entry["Key"] for entry in page.get("Contents", [])]
        if not page["IsTruncated"]:
            return found
        options["ContinuationToken"] = page["NextContinuationToken"]


# keys


@pytest.mark.parametrize("key", ODD_KEYS, ids=lambda key: repr(key[:20]))
def test_any_key_comes_back_exactly(s3: S3Client, bucket: str, key: str) -> None:
    body = hashlib.sha256(key.encode()).digest()
    s3.put_object(Bucket=bucket, Key=key, Body=body, Metadata={"a": "b"})
    assert body == s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    assert [key] == keys(s3, bucket)
    s3.copy_object(Bucket=bucket, Key="the copy", CopySource={"Bucket": bucket, "Key": key})
    assert body == s3.get_object(Bucket=bucket, Key="the copy")["Body"].read()
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key}, {"Key": "the copy"}]})
    assert [] == keys(s3, bucket)


def test_odd_keys_live_side_by_side(s3: S3Client, bucket: str) -> None:
    neighbours = [*ODD_KEYS, "dir", "dir/dir", "plain/below", "a", "b", "up", "here"]
    for key in neighbours:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    assert sorted(neighbours, key=str.encode) == keys(s3, bucket)
    assert neighbours == [s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode() for key in neighbours]


def test_a_key_over_1024_bytes_is_refused(s3: S3Client, bucket: str) -> None:
    assert ("KeyTooLongError", 400) == fault(lambda: s3.put_object(Bucket=bucket, Key="k" * 1025, Body=b""))


# listing


def test_a_listing_is_in_the_byte_order_of_utf8_over_any_page_size(s3: S3Client, bucket: str) -> None:
    named = ["a", "a/", "a b", "a+b", "A", "é", "z", "\uffee", "😀", "a%2Fb", "10", "9", "~"]
    for key in named:
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    expected = sorted(named, key=str.encode)
    for size in (1, 2, 5, 1000):
        assert expected == keys(s3, bucket, MaxKeys=size)
    for number, start in enumerate(expected):
        assert expected[number + 1 :] == keys(s3, bucket, StartAfter=start, MaxKeys=3)
    assert ["a", "a b", "a%2Fb", "a+b", "a/"] == keys(s3, bucket, Prefix="a", MaxKeys=2)


def test_a_key_written_or_deleted_between_pages_moves_no_other(s3: S3Client, bucket: str) -> None:
    for key in "bdfhj":
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    page = s3.list_objects_v2(Bucket=bucket, MaxKeys=2)
    s3.delete_object(Bucket=bucket, Key="d")
    for key in "aeg":
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    assert list("efghj") == keys(s3, bucket, ContinuationToken=page["NextContinuationToken"])


def test_a_delimiter_folds_keys_into_prefixes(s3: S3Client, bucket: str) -> None:
    for key in ("x", "a/1", "a/2", "b/1"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    page = s3.list_objects_v2(Bucket=bucket, Delimiter="/")
    assert ["a/", "b/"] == [entry["Prefix"] for entry in page["CommonPrefixes"]]
    assert ["x"] == [entry["Key"] for entry in page["Contents"]]


# conditional writes


def test_if_none_match_creates_once(s3: S3Client, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"first", IfNoneMatch="*")
    assert ("PreconditionFailed", 412) == fault(
        lambda: s3.put_object(Bucket=bucket, Key="k", Body=b"second", IfNoneMatch="*")
    )
    assert b"first" == s3.get_object(Bucket=bucket, Key="k")["Body"].read()
    s3.delete_object(Bucket=bucket, Key="k")
    s3.put_object(Bucket=bucket, Key="k", Body=b"third", IfNoneMatch="*")


def test_if_match_replaces_only_that_version(s3: S3Client, bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"1")["ETag"]
    newer = s3.put_object(Bucket=bucket, Key="k", Body=b"2", IfMatch=etag)["ETag"]
    assert ("PreconditionFailed", 412) == fault(lambda: s3.put_object(Bucket=bucket, Key="k", Body=b"3", IfMatch=etag))
    s3.put_object(Bucket=bucket, Key="k", Body=b"4", IfMatch=newer.strip('"'))
    assert ("NoSuchKey", 404) == fault(lambda: s3.put_object(Bucket=bucket, Key="none", Body=b"", IfMatch=etag))


def test_of_many_writers_at_once_one_creates(s3: S3Client, bucket: str) -> None:
    def create(number: int) -> bool:
        try:
            s3.put_object(Bucket=bucket, Key="k", Body=str(number).encode(), IfNoneMatch="*")
        except ClientError as error:
            expect_lost_race(error)
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        won = [number for number, is_winner in enumerate(pool.map(create, range(64))) if is_winner]
    assert [s3.get_object(Bucket=bucket, Key="k")["Body"].read().decode()] == [str(number) for number in won]


def test_of_many_counters_by_if_match_no_increment_is_lost(s3: S3Client, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="n", Body=b"0")

    def increment(_: int) -> None:
        while True:
            found = s3.get_object(Bucket=bucket, Key="n")
            body = str(int(found["Body"].read()) + 1).encode()
            try:
                s3.put_object(Bucket=bucket, Key="n", Body=body, IfMatch=found["ETag"])
            except ClientError as error:
                expect_lost_race(error)
            else:
                return

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(increment, range(40)))
    assert b"40" == s3.get_object(Bucket=bucket, Key="n")["Body"].read()


def test_a_multipart_upload_can_be_completed_only_if_absent(s3: S3Client, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"there")
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=1, Body=b"x")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    assert ("PreconditionFailed", 412) == fault(
        lambda: s3.complete_multipart_upload(
            Bucket=bucket, Key="k", UploadId=upload, MultipartUpload=parts, IfNoneMatch="*"
        )
    )
    assert b"there" == s3.get_object(Bucket=bucket, Key="k")["Body"].read()


# copying


def test_a_copy_pinned_to_an_etag_fails_when_the_source_is_another(s3: S3Client, bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"1")["ETag"]
    s3.put_object(Bucket=bucket, Key="k", Body=b"2")
    copy = {"Bucket": bucket, "Key": "c", "CopySource": {"Bucket": bucket, "Key": "k"}}
    assert ("PreconditionFailed", 412) == fault(lambda: s3.copy_object(**copy, CopySourceIfMatch=etag))
    assert ["k"] == keys(s3, bucket)


def test_a_copy_replaces_metadata_and_carries_tags(s3: S3Client, bucket: str) -> None:
    s3.put_object(
        Bucket=bucket, Key="k", Body=b"1", Metadata={"old": "1"}, ContentType="text/x", Tagging="colour=r%20ed&size=1"
    )
    s3.copy_object(
        Bucket=bucket,
        Key="c",
        CopySource={"Bucket": bucket, "Key": "k"},
        MetadataDirective="REPLACE",
        TaggingDirective="COPY",
        Metadata={"source-key": "k"},
        ContentType="text/y",
        CacheControl="no-store",
        ContentDisposition="attachment",
    )
    head = s3.head_object(Bucket=bucket, Key="c")
    assert {"source-key": "k"} == head["Metadata"]
    assert ("text/y", "no-store", "attachment") == (
        head["ContentType"],
        head["CacheControl"],
        head["ContentDisposition"],
    )
    tags = s3.get_object_tagging(Bucket=bucket, Key="c")["TagSet"]
    assert {("colour", "r ed"), ("size", "1")} == {(tag["Key"], tag["Value"]) for tag in tags}


def test_a_copy_without_a_directive_carries_metadata(s3: S3Client, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"1", Metadata={"old": "1"}, ContentType="text/x")
    s3.copy_object(Bucket=bucket, Key="c", CopySource={"Bucket": bucket, "Key": "k"})
    head = s3.head_object(Bucket=bucket, Key="c")
    assert ({"old": "1"}, "text/x") == (head["Metadata"], head["ContentType"])


def test_a_missing_source_or_bucket_is_told_apart(s3: S3Client, bucket: str) -> None:
    def copy(source: str, key: str) -> Callable[[], object]:
        return lambda: s3.copy_object(Bucket=bucket, Key="c", CopySource={"Bucket": source, "Key": key})

    assert ("NoSuchKey", 404) == fault(copy(bucket, "none"))
    assert ("NoSuchBucket", 404) == fault(copy("no-such-bucket-here", "none"))
    assert ("NoSuchBucket", 404) == fault(lambda: s3.list_objects_v2(Bucket="no-such-bucket-here"))
    assert ("404", 404) == fault(lambda: s3.head_object(Bucket=bucket, Key="none"))


def test_a_multipart_copy_joins_pinned_ranges(s3: S3Client, bucket: str) -> None:
    body = random.Random(1).randbytes(12 * 1024 * 1024 + 7)
    etag = s3.put_object(Bucket=bucket, Key="k", Body=body)["ETag"]
    upload = s3.create_multipart_upload(Bucket=bucket, Key="c", Metadata={"a": "b"}, Tagging="x=y")["UploadId"]

    def part(number: int, pin: str) -> dict[str, Any]:
        first = (number - 1) * 6 * 1024 * 1024
        last = min(first + 6 * 1024 * 1024, len(body)) - 1
        done = s3.upload_part_copy(
            Bucket=bucket,
            Key="c",
            UploadId=upload,
            PartNumber=number,
            CopySource={"Bucket": bucket, "Key": "k"},
            CopySourceIfMatch=pin,
            CopySourceRange=f"bytes={first}-{last}",
        )
        return {"PartNumber": number, "ETag": done["CopyPartResult"]["ETag"]}

    assert ("PreconditionFailed", 412) == fault(lambda: part(1, '"0123456789abcdef0123456789abcdef"'))
    with ThreadPoolExecutor(3) as pool:
        parts = list(pool.map(lambda number: part(number, etag), (1, 2, 3)))
    s3.complete_multipart_upload(Bucket=bucket, Key="c", UploadId=upload, MultipartUpload={"Parts": parts})
    found = s3.get_object(Bucket=bucket, Key="c")
    assert body == found["Body"].read()
    assert found["ETag"].endswith('-3"')
    assert {"a": "b"} == found["Metadata"]
    assert [{"Key": "x", "Value": "y"}] == s3.get_object_tagging(Bucket=bucket, Key="c")["TagSet"]


def test_a_single_copy_of_a_multipart_object_has_a_plain_etag(s3: S3Client, bucket: str) -> None:
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=1, Body=b"body")
    s3.complete_multipart_upload(
        Bucket=bucket,
        Key="k",
        UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
    )
    copied = s3.copy_object(Bucket=bucket, Key="c", CopySource={"Bucket": bucket, "Key": "k"})["CopyObjectResult"]
    assert f'"{hashlib.md5(b"body", usedforsecurity=False).hexdigest()}"' == copied["ETag"]
    assert copied["ETag"] == s3.head_object(Bucket=bucket, Key="c")["ETag"]


@pytest.mark.parametrize("storage_class", ["GLACIER", "DEEP_ARCHIVE"])
def test_an_archived_object_can_be_headed_but_neither_read_nor_copied(
    s3: S3Client, bucket: str, storage_class: str
) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"cold", StorageClass=storage_class)
    assert storage_class == s3.head_object(Bucket=bucket, Key="k")["StorageClass"]
    assert ("InvalidObjectState", 403) == fault(lambda: s3.get_object(Bucket=bucket, Key="k"))
    source = {"Bucket": bucket, "Key": "k"}
    assert ("InvalidObjectState", 403) == fault(lambda: s3.copy_object(Bucket=bucket, Key="c", CopySource=source))
    upload = s3.create_multipart_upload(Bucket=bucket, Key="c")["UploadId"]
    assert ("InvalidObjectState", 403) == fault(
        lambda: s3.upload_part_copy(Bucket=bucket, Key="c", UploadId=upload, PartNumber=1, CopySource=source)
    )


# checksums


@pytest.mark.parametrize(
    ("algorithm", "digest"),
    [("SHA256", hashlib.sha256(b"body").digest()), ("CRC32", zlib.crc32(b"body").to_bytes(4, "big"))],
    ids=["SHA256", "CRC32"],
)
def test_a_checksum_is_kept_told_on_head_and_carried_by_a_copy(
    s3: S3Client, bucket: str, algorithm: str, digest: bytes
) -> None:
    expected = base64.b64encode(digest).decode()
    field = f"Checksum{algorithm}"
    assert expected == s3.put_object(Bucket=bucket, Key="k", Body=b"body", ChecksumAlgorithm=algorithm)[field]
    assert expected == s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")[field]
    s3.copy_object(Bucket=bucket, Key="c", CopySource={"Bucket": bucket, "Key": "k"})
    assert expected == s3.head_object(Bucket=bucket, Key="c", ChecksumMode="ENABLED")[field]


def test_an_object_that_replaces_a_tagged_one_has_no_tags(s3: S3Client, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"1", Tagging="a=b")
    s3.put_object(Bucket=bucket, Key="k", Body=b"2")
    assert [] == s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"]


def test_a_copy_can_ask_for_a_checksum_that_its_source_lacks(s3: S3Client, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"body", ChecksumAlgorithm="CRC32")
    s3.copy_object(Bucket=bucket, Key="c", CopySource={"Bucket": bucket, "Key": "k"}, ChecksumAlgorithm="SHA256")
    head = s3.head_object(Bucket=bucket, Key="c", ChecksumMode="ENABLED")
    assert base64.b64encode(hashlib.sha256(b"body").digest()).decode() == head["ChecksumSHA256"]


def test_a_body_that_contradicts_its_checksum_is_refused(s3: S3Client, bucket: str) -> None:
    wrong = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    assert "BadDigest" == fault(lambda: s3.put_object(Bucket=bucket, Key="k", Body=b"body", ChecksumSHA256=wrong))[0]
    assert [] == keys(s3, bucket)


# reading


def test_a_pinned_read_of_a_changed_object_fails(s3: S3Client, bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"12345")["ETag"]
    assert b"234" == s3.get_object(Bucket=bucket, Key="k", Range="bytes=1-3", IfMatch=etag)["Body"].read()
    s3.put_object(Bucket=bucket, Key="k", Body=b"67890")
    assert ("PreconditionFailed", 412) == fault(lambda: s3.get_object(Bucket=bucket, Key="k", IfMatch=etag))


def test_versions_can_be_read_and_copied_by_their_id(s3: S3Client, bucket: str) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(Bucket=bucket, Key="k", Body=b"1")["VersionId"]
    s3.put_object(Bucket=bucket, Key="k", Body=b"2")
    assert b"1" == s3.get_object(Bucket=bucket, Key="k", VersionId=first)["Body"].read()
    s3.copy_object(Bucket=bucket, Key="c", CopySource={"Bucket": bucket, "Key": "k", "VersionId": first})
    assert b"1" == s3.get_object(Bucket=bucket, Key="c")["Body"].read()
