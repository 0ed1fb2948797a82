"""Values that say more than they seem to: what they inject, spell like something else, give away, or would do later."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from tests.chart.rendering import Chart, RenderError
from tests.chart.varied import Varied, container, variables

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def varied(chart: Chart, tmp_path: Path) -> Varied:
    return Varied(chart, tmp_path)


@pytest.fixture
def unchecked(chart: Chart, tmp_path: Path) -> Varied:
    """The chart as `--skip-schema-validation` leaves it."""
    place = shutil.copytree(chart.path, tmp_path / "unchecked")
    (place / "values.schema.json").unlink()
    return Varied(Chart(place), tmp_path)


def refusal(varied: Varied, over: object, *, release: str = "pipeline") -> str:
    with pytest.raises(RenderError) as refused:
        varied.text(over, release=release)
    return str(refused.value)


INJECTED = "x=1\n        - --queue\n        - https://evil #"


def test_a_processors_name_adds_no_arguments(varied: Varied, unchecked: Varied) -> None:
    over = {"poolDefaults": {"processors": {INJECTED: 1}}}
    assert "does not match pattern '^[a-z][a-z0-9_]*$'" in refusal(varied, over)
    arguments = container(unchecked.objects(over, of="no-keda").of("Deployment")[-1])["args"]
    assert ["worker", "--lane", "live", "--processor-concurrency", f"{INJECTED}=1"] == arguments


@pytest.mark.parametrize("name", ["NO", "NULL", "ON"])
def test_a_settings_name_that_yaml_would_take_for_something_else_stays_a_name(varied: Varied, name: str) -> None:
    made = varied.objects({"settings": {name: "12"}, "poolDefaults": {"settings": {name: "null"}}}, of="no-keda")
    shared = next(one["data"] for one in made.of("ConfigMap") if one["metadata"]["name"].endswith("-settings"))
    own = variables(made.of("Deployment")[-1])
    assert ("12", "null") == (shared[name], own[name])


RUN = {"name": "a", "job": "get_s3_files", "cron": "@daily"}
COMMAND = {"name": "a", "command": ["migrate"], "cron": "@daily"}
WAY_OUT = "put it into a Secret and name that in secrets"


@pytest.mark.parametrize(
    ("over", "place"),
    [
        ({"settings": {"AWS_SESSION_TOKEN": "hunter2"}}, "settings.AWS_SESSION_TOKEN is a secret"),
        ({"settings": {"PGPASSWORD": "hunter2"}}, "settings.PGPASSWORD is a secret"),
        ({"settings": {"A": "postgresql://u:hunter2@db/x"}}, "settings.A is a secret"),
        ({"settings": {"A": "host=h Password = hunter2"}}, "settings.A is a secret"),
        ({"poolDefaults": {"settings": {"API_TOKEN": "hunter2"}}}, "poolDefaults.settings.API_TOKEN is a secret"),
        (
            {"schedules": [{**RUN, "settings": {"PGPASSWORD": "hunter2"}}]},
            "schedule a: settings.PGPASSWORD is a secret",
        ),
        ({"schedules": [{**RUN, "args": ["postgresql://u:hunter2@db/x"]}]}, "schedule a: what it is given holds a"),
        ({"schedules": [{**COMMAND, "args": ["--dsn", "user=u password=hunter2"]}]}, "schedule a: what it is given"),
        ({"aws": {"endpointUrl": "https://k:hunter2@host"}}, "aws.endpointUrl holds a password"),
        ({"lanes": {"live": {"queueUrl": "https://k:hunter2@host/1/q"}}}, "lanes.live.queueUrl holds a password"),
        (
            {"poolDefaults": {"scaling": {"queueAge": {"serverAddress": "http://k:hunter2@p:9090"}}}},
            "pool live: scaling.queueAge.serverAddress holds a password",
        ),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_a_secret_is_refused_by_its_place_and_not_repeated(varied: Varied, over: object, place: str) -> None:
    said = refusal(varied, over)
    assert (True, True, False) == (place in said, WAY_OUT in said, "hunter2" in said)


def test_what_only_names_a_secret_is_taken(varied: Varied) -> None:
    settings = {"AWS_WEB_IDENTITY_TOKEN_FILE": "/token", "KMS_PRIVATE_KEY_ID": "1", "PROXY": "http://u@proxy:80"}
    assert varied.text({"settings": settings, "aws": {"endpointUrl": "http://host:9000"}})


@pytest.mark.parametrize(
    ("section", "kind"),
    [("podMonitor", "PodMonitor"), ("prometheusRule", "PrometheusRule"), ("dashboard", "ConfigMap")],
)
def test_of_a_label_that_is_given_twice_the_charts_wins_then_the_objects(
    varied: Varied, section: str, kind: str
) -> None:
    labels = {"team": "theirs", "app.kubernetes.io/name": "theirs", "app.kubernetes.io/component": "theirs"}
    over = {"commonLabels": {"team": "ours", "cost": "ours"}, section: {"enabled": True, "labels": labels}}
    made = varied.objects(over, of="production").of(kind)
    found = next(one["metadata"]["labels"] for one in made if one["metadata"]["labels"]["team"] == "theirs")
    assert ("ours", "pipeline-processing") == (found["cost"], found["app.kubernetes.io/name"])
    assert "theirs" != found["app.kubernetes.io/component"]


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({"podMonitor": {"interval": "1.5m"}}, "'/podMonitor/interval': '1.5m' does not match pattern"),
        ({"podMonitor": {"interval": "0s"}}, "'/podMonitor/interval': '0s' does not match pattern"),
        ({"poolDefaults": {"scratch": -5}}, "'/poolDefaults/scratch': minimum: got -5, want 0"),
        ({"poolDefaults": {"resources": {"requests": {"cpu": -1}}}}, "requests/cpu': minimum: got -1, want 0"),
        ({"poolDefaults": {"scaling": {"job": {"backoffLimit": 1}}}}, "job/backoffLimit': maximum: got 1, want 0"),
        ({"commonLabels": {"of team": "a"}}, "'of team' does not match pattern"),
        (
            {"fullnameOverride": "x" * 63, "migrations": {"enabled": True}, "secrets": ["database"]},
            "migrations: its Job would be called xxx",
        ),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_what_kubernetes_or_an_operator_would_refuse_later_is_refused_at_once(
    varied: Varied, over: object, message: str
) -> None:
    assert message in refusal(varied, over)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--run-id", "fixed"], "schedule a: options may not hold --run-id: the chart gives each Job its own"),
        (["--timeout", "10h", "--ru=fixed"], "options may not hold --run-id: the chart gives each Job its own"),
        (["--lane=backfill"], "options may not hold --lane: set the schedule's lane"),
        (["--mode", "inline"], "options may not hold --mode: its items are the fleet's"),
    ],
)
def test_options_do_not_overrule_what_the_chart_gives_a_controller(
    varied: Varied, options: list[str], message: str
) -> None:
    """The last of two counts: with one id for all nights each but the first would resume what is done."""
    assert message in refusal(varied, {"schedules": [{**RUN, "options": options}]})


@pytest.mark.parametrize(
    "over",
    [{"command": ["controller", "run"], "args": ["x", "--run-id=a"]}, {"command": ["controller"], "args": ["run"]}],
)
def test_a_command_does_not_go_round_the_run_that_the_chart_gives_each_job(
    varied: Varied, over: dict[str, list[str]]
) -> None:
    assert "schedule a: command may not be controller run: say job" in refusal(varied, {"schedules": [COMMAND | over]})


def test_a_schedule_keeps_options_that_the_chart_does_not_give(varied: Varied) -> None:
    options = ["--tolerate-failures", "1%", "--timeout=10h", "-"]
    assert varied.text({"schedules": [{**RUN, "options": options}]})
