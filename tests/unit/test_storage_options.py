"""What deltalake and Polars are given to reach S3 as our own clients do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from etl_core.aws import AwsClients
from etl_core.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

COMMON = {"aws_region": "eu-west-1", "aws_conditional_put": "etag"}


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("PROFILE", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "ENDPOINT_URL", "ENDPOINT_URL_S3"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("CONFIG_FILE", "SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(f"AWS_{name}", str(tmp_path / name))


async def options() -> dict[str, str]:
    clients = AwsClients()
    try:
        return await clients.storage_options()
    finally:
        await clients.aclose()


async def test_keys_and_token_of_the_environment_go_to_aws_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("ACCESS_KEY_ID", "id"), ("SECRET_ACCESS_KEY", "secret"), ("SESSION_TOKEN", "token")):
        monkeypatch.setenv(f"AWS_{name}", value)
    assert {
        **COMMON,
        "aws_access_key_id": "id",
        "aws_secret_access_key": "secret",
        "aws_session_token": "token",
        "aws_endpoint": "https://s3.eu-west-1.amazonaws.com",
        "aws_allow_http": "false",
    } == await options()


async def test_a_profile_and_an_endpoint_of_ones_own_are_followed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "SHARED_CREDENTIALS_FILE").write_text("[silver]\naws_access_key_id=p\naws_secret_access_key=q\n")
    monkeypatch.setenv("AWS_PROFILE", "silver")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:4566")
    assert {
        **COMMON,
        "aws_access_key_id": "p",
        "aws_secret_access_key": "q",
        "aws_endpoint": "http://localhost:4566",
        "aws_allow_http": "true",
    } == await options()


async def test_without_credentials_the_way_out_is_told() -> None:
    with pytest.raises(ConfigError, match=r"no AWS credentials \(set AWS_ACCESS_KEY_ID"):
        await options()
