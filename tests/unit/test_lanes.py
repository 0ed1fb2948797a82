from __future__ import annotations

import pytest

from etl_core.errors import ConfigError
from etl_core.settings import load
from pipeline_processing.service_handler import ServiceHandler
from pipeline_processing.settings import Settings


def test_lanes_are_the_two_and_whatever_else_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_LIVE_QUEUE", "live-queue")
    monkeypatch.setenv("PIPELINE_QUEUES", "isolation = https://sqs/iso?a=b , big-files=big,")

    expected = {"live": "live-queue", "isolation": "https://sqs/iso?a=b", "big-files": "big"}

    assert expected == load(Settings).lanes


@pytest.mark.parametrize("text", ["isolation", "=queue", "Isolation=queue", "a b=queue", "lane="])
def test_what_names_no_lane_and_queue_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("PIPELINE_QUEUES", text)

    with pytest.raises(ConfigError, match="LANE=QUEUE"):
        load(Settings)


@pytest.mark.parametrize(
    ("lane", "way_out"),
    [
        ("backfill", "set PIPELINE_BACKFILL_QUEUE to a queue's name or URL"),
        ("isolation", "set PIPELINE_QUEUES=isolation=… to a queue's name or URL"),
    ],
)
def test_a_lane_without_a_queue_is_refused_with_the_lanes_that_have_one(lane: str, way_out: str) -> None:
    services = ServiceHandler(Settings(live_queue="q", queues={"big": "b"}))

    with pytest.raises(ConfigError) as caught:
        services.lane_address(lane)

    assert (f"no queue for the {lane} lane; lanes with one: live, big", way_out) == (
        caught.value.what,
        caught.value.way_out,
    )
