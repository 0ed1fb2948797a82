"""Settings that are assumed for a while: to check here what is going to run elsewhere."""

from __future__ import annotations

import pytest

from etl_core.errors import ConfigError
from etl_core.settings import assuming, load
from pipeline_processing.settings import Settings


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_SOURCE_BUCKET", "of-the-environment")
    monkeypatch.delenv("PIPELINE_SILVER_BUCKET", raising=False)


def test_what_is_assumed_counts_before_the_environment_and_only_within() -> None:
    with assuming({"source_bucket": "assumed"}):
        within = load(Settings)
    assert ("assumed", "of-the-environment") == (within.source_bucket, load(Settings).source_bucket)


def test_the_inner_assumption_counts_alone() -> None:
    with assuming({"source_bucket": "outer", "silver_bucket": "outer"}), assuming({"silver_bucket": "inner"}):
        found = load(Settings)
    assert ("of-the-environment", "inner") == (found.source_bucket, found.silver_bucket)


def test_what_is_given_counts_before_what_is_assumed() -> None:
    with assuming({"source_bucket": "assumed"}):
        assert "given" == load(Settings, source_bucket="given").source_bucket


def test_an_assumption_is_checked_as_the_environment_is() -> None:
    with (
        assuming({"lease": "soon", "no_setting": "of another kind"}),
        pytest.raises(ConfigError, match="PIPELINE_LEASE"),
    ):
        load(Settings)
