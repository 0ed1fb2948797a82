"""A bucket as it is, read without the product."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mypy_boto3_s3.client import S3Client


@dataclass(frozen=True)
class Stored:
    """One object, with all that a reader could see of it but its date."""

    body: bytes
    content_type: str
    metadata: Mapping[str, str]


@dataclass(frozen=True)
class Bucket:
    """A versioned bucket: what was written twice shows."""

    name: str
    s3: S3Client

    @classmethod
    def make(cls, name: str, s3: S3Client) -> Bucket:
        s3.create_bucket(Bucket=name)
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        return cls(name, s3)

    def keys(self, prefix: str = "") -> list[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", ())]

    def versions(self, prefix: str = "") -> Counter[str]:
        """Return how often each key was written, deleted ones included."""
        return Counter(version["Key"] for version in self._versions(prefix))

    def read(self, key: str) -> Stored:
        answer = self.s3.get_object(Bucket=self.name, Key=key)
        return Stored(answer["Body"].read(), answer["ContentType"], answer["Metadata"])

    def snapshot(self) -> dict[str, Stored]:
        return {key: self.read(key) for key in self.keys()}

    def clear(self) -> None:
        """Remove everything, every version of it too."""
        for entry in list(self._versions("", "Versions", "DeleteMarkers")):
            self.s3.delete_object(Bucket=self.name, Key=entry["Key"], VersionId=entry["VersionId"])

    def _versions(self, prefix: str, *kinds: str) -> Iterator[Mapping[str, Any]]:
        for page in self.s3.get_paginator("list_object_versions").paginate(Bucket=self.name, Prefix=prefix):
            for kind in kinds or ("Versions",):
                entries: list[Mapping[str, Any]] = page.get(kind, [])  # type: ignore[assignment] # kind is no literal
                yield from entries
