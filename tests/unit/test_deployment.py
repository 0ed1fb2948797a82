from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from pydantic import SecretStr

from etl_core.errors import ConfigError
from etl_core.queue import QueuePolicy
from pipeline_processing.deployment import ALL_SECTIONS, Pool, Schedule, as_running, merged, parse
from pipeline_processing.deployment.documents import from_chart, from_document, sections
from pipeline_processing.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

VALUES = Path(__file__).parents[2] / "charts/pipeline-processing/values.yaml"
QUEUE: Mapping[str, Any] = {"lanes": {"live": {}}}


def _fault(document: Mapping[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(document)
    return caught.value.what


def _chart(folder: Path, *texts: str) -> list[Path]:
    paths = [folder / f"{number}.yaml" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    return paths


@pytest.mark.parametrize(
    ("base", "over", "expected"),
    [
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}}, {"a": {"b": 1, "c": 3}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": 1, "b": 2}, {"a": None}, {"b": 2}),
        ({"a": {"b": 1}}, {"a": {"b": None, "c": 1}}, {"a": {"c": 1}}),
        ({"a": {"b": 1}}, {"a": 2}, {"a": 2}),
    ],
)
def test_values_are_merged_as_helm_merges_them(base: object, over: object, expected: object) -> None:
    assert expected == merged(base, over)


def test_a_pool_has_the_defaults_the_shared_settings_and_then_its_own() -> None:
    document = {
        **QUEUE,
        "settings": {"PIPELINE_LEASE": "10m", "PIPELINE_DRAIN": "20s"},
        "poolDefaults": {"concurrency": 4, "settings": {"PIPELINE_DRAIN": "30s"}, "scaling": {"max": 7}},
        "pools": [
            {"name": "a", "lane": "live", "settings": {"PIPELINE_HEARTBEAT": 9}, "scaling": {"min": 1}},
            {"name": "b", "lane": "live", "terminationGracePeriodSeconds": 100, "preStopSeconds": 10},
        ],
    }

    first, second = parse(document).pools

    assert (4, 1, 7) == (first.concurrency, first.scaling.min, first.scaling.max)
    settings = first.effective
    assert [timedelta(minutes=10), timedelta(seconds=9), timedelta(seconds=30), 4] == [
        settings.lease,
        settings.heartbeat,
        settings.drain,
        settings.worker_concurrency,
    ]
    assert timedelta(seconds=90) == second.effective.grace


def test_the_environment_of_whoever_reads_it_is_no_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_LEASE", "7m")

    (pool,) = parse({**QUEUE, "pools": [{"name": "a", "lane": "live"}]}).pools

    assert timedelta(minutes=5) == pool.effective.lease


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"polls": []}, "no such section: polls"),
        ({1: []}, "no such section: 1"),
        ({"lanes": {}}, "it has no lane"),
        ({"settings": ["a"]}, "settings is no map of keys and values"),
        ({"pools": 5}, "pools is no list"),
        ({"settings": {"PIPELINE_DRAIN": {"a": 1}}}, "PIPELINE_DRAIN is no single value"),
        ({"settings": {"PIPELINE_WORKER_CONCURRENCY": 9}}, "PIPELINE_WORKER_CONCURRENCY is not for settings"),
        ({"pools": [{"name": "a", "lane": "live", "settings": {"pipeline_pool": "b"}}]}, "pipeline_pool is not for"),
        ({"pools": [{"name": "a", "lane": "live", "typicalItem": "3m"}]}, "typicalItem is longer than longestItem"),
        (
            {"pools": [{"name": "a", "lane": "live", "processors": {"x": 1}, "scaling": {"scaleOnInFlight": False}}]},
            "pool a: scaling.scaleOnInFlight must be true",
        ),
        ({"pools": [{"name": "a", "lane": "live", "concurrency": 10**400}]}, "pools[a].concurrency"),
        ({"lanes": {"live": {"largestBacklog": 10**21}}}, "lanes.live.largestBacklog"),
        ({"schedules": [{"name": "s", "job": "j", "cron": "@daily", "options": ["--run-id", "x"]}]}, "--run-id"),
        ({"schedules": [{"name": "s", "job": "j", "cron": "@daily", "options": ["--la=x"]}]}, "options may not hold"),
        ({"pools": [{"name": "a", "lane": "liv"}]}, "pool a: there is no lane 'liv'"),
        ({"pools": [{"name": "a", "lane": "live"}] * 2}, "two pools are called a"),
        ({"pools": [{"name": "a", "lane": "live", "longestitem": "1m"}]}, "pools[a].longestitem"),
        ({"pools": [{"name": "a", "lane": "live", "longestitem": "1m"}]}, "did you mean longestItem?"),
        ({"pools": [{"name": "a", "lane": "live", "longestItem": "soon"}]}, "'soon' is not a duration"),
        ({"pools": [{"name": "a", "lane": "live", "longestItem": "9999999999d"}]}, "longer than any duration"),
        ({"pools": [{"name": "a", "lane": "live", "scaling": {"kind": "daemon"}}]}, "pools[a].scaling.kind"),
        ({"pools": ["a"]}, "pools[0]"),
        (
            {"settings": {"PIPELINE_LEES": "1m"}, "pools": [{"name": "a", "lane": "live"}]},
            "did you mean PIPELINE_LEASE?",
        ),
        ({"settings": {"PIPELINE_LEASE": "x"}, "pools": [{"name": "a", "lane": "live"}]}, "PIPELINE_LEASE: 'x' is not"),
        ({"schedules": [{"name": "s", "job": "j", "cron": "@daily", "lane": "l"}]}, "schedule s: there is no lane 'l'"),
        ({"schedules": [{"name": "s", "cron": "@daily", "command": ["controller", "run", "j"]}]}, "give it the job"),
        ({"schedules": [{"name": "s", "cron": "@daily"}]}, "schedule s: give it a job, or a command"),
        (
            {"pools": [{"name": "a", "lane": "live", "scaling": {"kind": "job", "min": 1}}]},
            "pool a: jobs have no minimum",
        ),
        ({"schedules": [{"name": "s", "job": "j", "cron": "61 * * * *"}]}, "schedule s: "),
        ({"lanes": {"live": {"retention": "15d"}}}, "lanes.live.retention"),
        ({"limits": {"postgresConnections": -1}}, "limits.postgresConnections"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(change: dict[str, Any], words: str) -> None:
    assert words in _fault({**QUEUE, **change})


def test_all_faults_are_told_at_once() -> None:
    fault = _fault({**QUEUE, "pools": [{"name": "a", "lane": "live", "concurrency": 0, "longestItem": "soon"}]})

    assert "pools[a].concurrency" in fault
    assert "pools[a].longestItem" in fault


def test_the_charts_defaults_are_the_models(tmp_path: Path) -> None:
    """What is left out of a document means the same as in the chart."""
    bare = "lanes: {live: {}}\npools: [{name: live, lane: live}]\n"
    values = yaml.safe_load(VALUES.read_text())
    chart = from_chart(_chart(tmp_path, ""))
    document = from_document(*_chart(tmp_path, bare))

    shared = {"settings": values["settings"]}
    (from_the_chart,), (plain,) = chart.pools, document.pools
    assert from_the_chart.model_copy(update={"settings": {}}) == plain
    assert chart.lanes == document.lanes
    assert chart.limits == document.limits
    assert parse({**QUEUE, **shared, "pools": [{"name": "live", "lane": "live"}]}).pools == chart.pools


def test_the_charts_schedule_defaults_are_the_models() -> None:
    values = yaml.safe_load(VALUES.read_text())
    least = {"name": "s", "job": "get_s3_files", "cron": "0 2 * * *"}

    (whole,) = parse({**QUEUE, "scheduleDefaults": values["scheduleDefaults"], "schedules": [least]}).schedules
    (plain,) = parse({**QUEUE, "schedules": [least]}).schedules

    assert plain == whole


def test_every_key_that_the_chart_gives_a_pool_or_a_schedule_is_known() -> None:
    values = yaml.safe_load(VALUES.read_text())
    document = {
        **sections(values),
        "pools": [{"name": "a", "lane": "live", **values["poolDefaults"]}],
        "schedules": [{"name": "s", "job": "j", "cron": "@daily", **values["scheduleDefaults"]}],
    }

    deployment = parse(document)

    assert (1, 1) == (len(deployment.pools), len(deployment.schedules))
    assert set(ALL_SECTIONS) <= set(values)


def test_later_files_of_values_win(tmp_path: Path) -> None:
    files = _chart(tmp_path, "poolDefaults: {concurrency: 3, scaling: {max: 5}}", "poolDefaults: {scaling: {max: 6}}")

    (pool,) = from_chart(files).pools

    assert (3, 6) == (pool.concurrency, pool.scaling.max)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lanes: {live: {}}\nlanes: {}", "'lanes' stands twice"),
        ("pools: [", "is no YAML"),
        ("- a", "holds no map"),
        ("\x00", "is no YAML"),
        ("lanes: {live: {retention: 2024-13-45}}", "is no YAML"),
        ("lanes: !!int x", "is no YAML"),
        ("lanes: {? [a] : b}", "is no YAML"),
        ("[" * 5000, "nested too deeply|is no YAML"),
    ],
)
def test_a_file_that_is_no_document_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        from_document(*_chart(tmp_path, text))


def test_values_that_the_chart_does_not_know_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        from_chart(_chart(tmp_path, "limit: {postgresConnections: 30}\nglobal: {anything: 1}"))

    assert ("limit: the chart has no such value", "did you mean limits?") == (caught.value.what, caught.value.way_out)


def test_a_time_zone_that_is_none_is_refused(tmp_path: Path) -> None:
    text = "schedules: [{name: s, job: j, cron: '@daily', timezone: Mars/Olympus}]"

    with pytest.raises(ConfigError, match="schedule s: there is no time zone 'Mars/Olympus'"):
        from_chart(_chart(tmp_path, text))


def test_a_command_by_time_needs_no_lane() -> None:
    schedule = {"name": "s", "command": ["controller", "reconcile"], "cron": "@hourly"}

    deployment = parse({"lanes": {"other": {}}, "schedules": [schedule]})

    assert ["s"] == [one.name for one in deployment.schedules]


def test_a_setting_that_is_left_empty_is_left_out() -> None:
    (pool,) = parse({**QUEUE, "pools": [{"name": "a", "lane": "live", "settings": {"PIPELINE_GRACE": ""}}]}).pools

    assert timedelta(seconds=180) == pool.effective.grace


def test_a_pods_places_are_those_of_the_processor_with_the_fewest() -> None:
    pool = {"name": "a", "lane": "live", "concurrency": 8}
    limited, plain = parse({**QUEUE, "pools": [pool | {"processors": {"x": 3, "y": 9}}, pool | {"name": "b"}]}).pools

    assert (3, 8) == (limited.places, plain.places)


def test_anchors_and_merge_keys_mean_what_they_mean_to_helm(tmp_path: Path) -> None:
    text = "lanes: {live: &live {retention: 2d}, other: {<<: *live, maxReceiveCount: 9}}"

    other = from_document(*_chart(tmp_path, text)).lanes["other"]

    assert (timedelta(days=2), 9) == (other.retention, other.max_receive_count)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        from_document(tmp_path / "nowhere.yaml")


def test_a_worker_knows_its_queue_and_its_variables_better_than_the_document() -> None:
    deployment = parse({**QUEUE, "pools": [{"name": "a", "lane": "live"}, {"name": "b", "lane": "live"}]})
    policy = QueuePolicy(timedelta(minutes=1), timedelta(days=2), max_receive_count=3, dead_letter_queue="dlq")
    dead = QueuePolicy(timedelta(minutes=1), timedelta(days=5))
    settings = Settings(pool="a", lease=timedelta(minutes=9), worker_concurrency=3, database_url=SecretStr("secret"))

    found, pool = as_running(deployment, settings, policy, dead)

    lane = found.lanes["live"]
    assert (3, timedelta(days=2), timedelta(days=5)) == (
        lane.max_receive_count,
        lane.retention,
        lane.dead_letter_retention,
    )
    assert (3, timedelta(minutes=9)) == (pool.concurrency, pool.effective.lease)
    assert "secret" not in str(pool.settings)
    assert (pool, deployment.pools[1]) == found.pools


def test_a_worker_of_an_unknown_pool_is_told_which_there_are() -> None:
    deployment = parse({**QUEUE, "pools": [{"name": "a", "lane": "live"}]})
    policy = QueuePolicy(timedelta(minutes=1), timedelta(days=2))

    with pytest.raises(ConfigError) as caught:
        as_running(deployment, Settings(), policy, None)

    assert "one of a" == caught.value.way_out


def test_a_pools_most_items_at_once_are_its_most_pods_times_its_concurrency() -> None:
    scaled = Pool.model_validate({"name": "a", "lane": "live", "concurrency": 3, "scaling": {"min": 2, "max": 5}})
    fixed = Pool.model_validate({"name": "a", "lane": "live", "scaling": {"kind": "fixed", "min": 2, "max": 5}})

    assert (15, 16) == (scaled.slots, fixed.slots)
    assert Schedule(name="s", job="j", cron="@daily").lane == "live"
