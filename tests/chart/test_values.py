"""The chart's values: documented, closed, and refused where they can not work."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from tests.chart import values_table
from tests.chart.documents import parse
from tests.chart.ladder import CHART
from tests.chart.rendering import LONGEST_RELEASE, RenderError
from tests.chart.settings_schema import settings_schema
from tests.chart.varied import Varied, schedules

from pipeline_processing.deployment import FOR_KUBERNETES, Pool, Schedule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.chart.rendering import Chart

VALUES = (CHART / "values.yaml").read_text(encoding="utf-8")
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
OPEN = {"global", "affinity", "extraEgress.items"}
"""What Helm or Kubernetes has closed, or leaves open, itself."""


@pytest.fixture
def varied(chart: Chart, tmp_path: Path) -> Varied:
    return Varied(chart, tmp_path)


def refusal(varied: Varied, over: object, *, of: str = "minimal", release: str = "pipeline") -> str:
    with pytest.raises(RenderError) as refused:
        varied.text(over, of=of, release=release)
    return str(refused.value)


def objects_of(schema: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:  # noqa: ANN401 - JSON
    if isinstance(schema, list):
        for one in schema:
            yield from objects_of(one, place)
    elif isinstance(schema, dict):
        if schema.get("type") == "object":
            yield place, schema
        for name, part in schema.items():
            yield from objects_of(
                part, place if name in {"properties", "definitions"} else f"{place}.{name}".strip(".")
            )


def test_every_value_says_what_it_is() -> None:
    assert [] == values_table.undocumented(VALUES)


def test_the_readme_has_the_table_of_all_values() -> None:
    page = (CHART / "README.md").read_text(encoding="utf-8")
    assert page == values_table.with_table(page, VALUES), "run: python -m tests.chart.values_table"


def test_the_table_spells_values_as_they_are() -> None:
    text = "# -- All of it\na:\n  # -- A number, or|nothing\n  b: 1\n  c: {d: 2}\n# -- Two\ne: [x, 'y|z']\nf:\n  g: 3\n"
    rows = [
        "| `a` | | All of it |",
        "| `a.b` | `1` | A number, or|nothing |",
        r'| `e` | `["x", "y\|z"]` | Two |',
    ]
    assert rows == values_table.table(text).splitlines()[2:]
    assert ["f", "f.g"] == values_table.undocumented(text)


def test_the_readmes_links_lead_to_files() -> None:
    page = (CHART / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", page)
    assert [] == [target for target in targets if not (CHART / target).exists()]


def test_the_readmes_example_is_taken(varied: Varied) -> None:
    page = (CHART / "README.md").read_text(encoding="utf-8")
    (example,) = (block for block in re.findall(r"```\n(.*?)```", page, re.DOTALL) if block.startswith("lanes:"))
    (values,) = parse(example)
    made = varied.objects(values)
    assert (4, 2) == (len(schedules(made)), len(made.of("ScaledObject")))


def test_the_schema_is_one_of_draft_7_and_knows_every_value() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    (values,) = parse(VALUES)
    assert [] == [error.message for error in jsonschema.Draft7Validator(SCHEMA).iter_errors(values)]


def test_every_object_of_the_schema_is_closed_or_a_map() -> None:
    still_open = {
        place
        for place, schema in objects_of(SCHEMA)
        if "additionalProperties" not in schema and not any(place.endswith(name) for name in OPEN)
    }
    assert set() == still_open


def test_the_schema_knows_every_setting_so_that_a_misspelt_one_is_refused() -> None:
    assert settings_schema() == SCHEMA["definitions"]["settings"], "put what settings_schema() says into the schema"


def test_a_variable_of_the_aws_sdk_is_no_misspelt_setting(varied: Varied) -> None:
    assert 'AWS_MAX_ATTEMPTS: "9"' in varied.text({"settings": {"AWS_MAX_ATTEMPTS": "9"}})


@pytest.mark.parametrize(
    ("section", "defaults", "own", "model"),
    [
        ("pools", "poolDefaults", {"name", "lane"}, Pool),
        ("schedules", "scheduleDefaults", {"name", "job", "command", "cron", "options", "args"}, Schedule),
    ],
)
def test_a_pool_or_schedule_may_say_all_that_its_defaults_say_and_the_doctor_knows_it(
    section: str, defaults: str, own: set[str], model: type[Pool | Schedule]
) -> None:
    (values,) = parse(VALUES)
    said = set(SCHEMA["properties"][section]["items"]["properties"])
    assert said == own | set(SCHEMA["properties"][defaults]["properties"])
    assert said - own == set(values[defaults])
    assert said - FOR_KUBERNETES == {str(field.alias) for field in model.model_fields.values()}


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({"imagee": {}}, "additional properties 'imagee' not allowed"),
        ({"pools": [{"name": "live", "lane": "live", "concurency": 4}]}, "'concurency' not allowed"),
        ({"pools": [{"name": "live", "lane": "live", "scaling": {"minimum": 1}}]}, "'minimum' not allowed"),
        ({"poolDefaults": {"scaling": {"scaleDown": {"percentage": 5}}}}, "'percentage' not allowed"),
        ({"lanes": {"live": {"queueURL": "https://x/1/q"}}}, "'queueURL' not allowed"),
        ({"pools": [{"lane": "live"}]}, "missing property 'name'"),
        ({"pools": [{"name": "Live", "lane": "live"}]}, "'Live' does not match pattern"),
        ({"poolDefaults": {"scaling": {"kind": "keda"}}}, "must be one of 'deployment', 'job', 'fixed'"),
        ({"poolDefaults": {"scaling": {"scaleOnInFlight": "yes"}}}, "got string, want boolean"),
        ({"poolDefaults": {"concurrency": "8"}}, "got string, want integer"),
        ({"poolDefaults": {"longestItem": "2 minutes"}}, "'2 minutes' does not match pattern"),
        ({"poolDefaults": {"longestItem": 120}}, "got number, want string"),
        ({"settings": {"PIPELINE_MAX_ATTEMPTS": 5}}, "got number, want string"),
        ({"settings": {"pipeline_drain": "5s"}}, "additional properties 'pipeline_drain' not allowed"),
        ({"settings": {"PIPELINE_DRIAN": "5s"}}, "additional properties 'PIPELINE_DRIAN' not allowed"),
        ({"settings": {"PIPELINE_DRAIN": "5 s"}}, "'5 s' does not match pattern"),
        ({"settings": {"PIPELINE_LOG_LEVEL": "verbose"}}, "value must be one of"),
        ({"lanes": {"live": {"queueUrl": "pipeline-live"}}}, "'pipeline-live' does not match pattern"),
        ({"schedules": [{"name": "a", "job": "get_s3_files", "cron": "0 2 * *"}]}, "'0 2 * *' does not match pattern"),
        ({"schedules": [{"name": "a", "job": "get_s3_files", "cron": "0 24 * * *"}]}, "does not match pattern"),
        ({"schedules": [{"name": "a", "job": "x", "cron": "0 2 * * 7"}]}, "does not match pattern"),
        ({"schedules": [{"name": "a", "job": "x", "cron": "TZ=UTC 0 2 * * *"}]}, "does not match pattern"),
        ({"identity": {"worker": {"roleArn": "pipeline-worker"}}}, "'pipeline-worker' does not match pattern"),
        ({"identity": {"tables": {"roleARN": ""}}}, "'roleARN' not allowed"),
        ({"identity": {"knid": "irsa"}}, "got string, want object"),
        ({"identity": {"keda": {"owner": "workload"}}}, "additional properties 'owner' not allowed"),
        ({"image": {"digest": "6f1ed002"}}, "'6f1ed002' does not match pattern"),
        ({"poolDefaults": {"resources": {"requests": {"memory": "1 Gi"}}}}, "'1 Gi' does not match pattern"),
        ({"secrets": ["a", "a"]}, "items at 0 and 1 are equal"),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_a_value_that_is_none_is_refused_in_helms_words(varied: Varied, over: object, message: str) -> None:
    assert message in refusal(varied, over)


@pytest.mark.parametrize(
    "cron", ["15 2 * * *", "*/20 * * * *", "0 0-6/2,12 1,15 jan-mar MON-FRI", "@daily", "0 4 ? * 0"]
)
def test_a_cron_line_of_kubernetes_is_taken(varied: Varied, cron: str) -> None:
    made = varied.objects({"schedules": [{"name": "a", "job": "get_s3_files", "cron": cron}]})
    assert [cron] == [one["spec"]["schedule"] for one in schedules(made)]


POOL = {"name": "live", "lane": "live"}
ALERTS = {"prometheusRule": {"enabled": True}, "podMonitor": {"enabled": True}}
SCHEDULE = {"name": "a", "job": "get_s3_files", "cron": "@daily"}


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({"settings": {"PIPELINE_CONTROL_BUCKET": ""}}, "settings.PIPELINE_CONTROL_BUCKET is empty: name the bucket"),
        ({"lanes": {"live": {"queueUrl": ""}}}, "pool live: lane live has no queue: set lanes.live.queueUrl"),
        (
            {"pools": [{"name": "live", "lane": "isolation"}]},
            'pool live: there is no lane "isolation": name one of live, or add it to lanes',
        ),
        ({"pools": [POOL, POOL]}, "two pools are called live: give one of them another name"),
        (
            {"pools": [{**POOL, "scaling": {"min": 21}}]},
            "pool live: scaling.min (21) is more than scaling.max (20): raise max, or lower min",
        ),
        (
            {"pools": [{**POOL, "scaling": {"kind": "fixed"}}]},
            "pool live: a fixed pool has scaling.min pods, which is 0: set it to 1 or more",
        ),
        (
            {"pools": [{**POOL, "scaling": {"kind": "job", "min": 1}}]},
            "KEDA would start scaling.min (1) of them again and again: set it to 0",
        ),
        (
            {"pools": [{**POOL, "name": "a-name-too-long-now"}]},
            "its ScaledObject would be called pipeline-pipeline-processing-worker-a-name-too-long-now, 55 characters",
        ),
        (
            {"schedules": [{**SCHEDULE, "name": "a-name-which-is-too-long"}]},
            "its CronJob would be called pipeline-pipeline-processing-a-name-which-is-too-long, 53 characters where 52",
        ),
        ({"schedules": [SCHEDULE, SCHEDULE]}, "two schedules are called a: give one of them another name"),
        ({"schedules": [{**SCHEDULE, "lane": "x"}]}, 'schedule a: there is no lane "x"'),
        (
            {"schedules": [{"name": "a", "cron": "@daily"}]},
            "schedule a: say either job, for `controller run`, or command, for any other",
        ),
        ({"schedules": [{**SCHEDULE, "command": ["dlq", "list"]}]}, "schedule a: say either job"),
        (
            {"poolDefaults": {"preStopSeconds": 180}},
            "preStopSeconds (180) leaves nothing of terminationGracePeriodSeconds (180): lower the first, or raise",
        ),
        (
            {"poolDefaults": {"scaling": {"queueAge": {"enabled": True}}}, "podMonitor": {"enabled": True}},
            "pool live: scaling.queueAge has no serverAddress: set it to the URL of Prometheus",
        ),
        (
            {"poolDefaults": {"scaling": {"queueAge": {"enabled": True, "serverAddress": "http://p:9090"}}}},
            "set podMonitor.enabled to true",
        ),
        ({"identity": {"kind": "irsa"}}, "identity.worker.roleArn is empty: set the role of docs/aws.md, or"),
        ({"identity": {"kind": "none"}}, "KEDA has no keys to count messages with: name the Secret that holds them in"),
        (
            {"identity": {"worker": {"serviceAccount": "a"}, "operator": {"serviceAccount": "a"}}},
            "identity.worker.serviceAccount is made twice (a): give each role one of its own, or set create to false",
        ),
        (
            {"pools": [{**POOL, "role": "tables"}]},
            'pool live: there is no role "tables": name one of controller, monitor, operator, worker, or add it',
        ),
        ({"schedules": [{**SCHEDULE, "role": "keda"}]}, 'schedule a: there is no role "keda": name one of controller'),
        ({"identity": {"kind": "irsa", "tables": {}}}, "identity.tables.roleArn is empty: set the role of docs/aws.md"),
        *(
            (
                {"schedules": [{**SCHEDULE, "name": name}]},
                f"schedule {name}: its jobs and pods would be called as those of pools or the monitor are",
            )
            for name in ("worker-report", "monitor")
        ),
        (
            {"schedules": [{**SCHEDULE, "name": "operator"}]},
            "the CronJob of operators' pods is called so: give it another",
        ),
        (
            {"pools": [{**POOL, "role": "monitor"}], "monitor": {"enabled": False}},
            'pool live: there is no role "monitor": name one of controller, operator, worker',
        ),
        ({"identity": {"migration": {}}}, "identity.migration.serviceAccount is made twice"),
        ({"commonLabels": {"app.kubernetes.io/name": "a"}}, "commonLabels.app.kubernetes.io/name is the chart's own"),
        ({"settings": {"AWS_DEFAULT_REGION": "eu-west-1"}}, "AWS_DEFAULT_REGION is the chart's: set aws.region"),
        ({"identity": {"worker": {"create": False}}}, "name the existing ServiceAccount in identity.worker"),
        ({"image": {"tag": "latest"}}, "image.tag is latest, which is whatever was pushed last"),
        ({"migrations": {"enabled": True}}, "no Secret holds PIPELINE_DATABASE_URL: name it in secrets"),
        ({"prometheusRule": {"enabled": True}, "monitor": {"enabled": False}}, "set monitor.enabled to true"),
        (
            {"prometheusRule": {"enabled": True}, "podMonitor": {"enabled": False}},
            "nothing scrapes what its alerts are about: set podMonitor.enabled to true, or podMonitor.scrapedOtherwise",
        ),
        (
            {
                "prometheusRule": {"enabled": True, "thresholds": {"queueAgeSecondsByLane": {"live": 345600}}},
                "podMonitor": {"enabled": True},
            },
            "lane live: PipelineQueueAgeHigh would wait for messages 345600 seconds old, and its queue drops them",
        ),
        (
            {"prometheusRule": {"enabled": True}, "podMonitor": {"enabled": True, "interval": "3m"}},
            "podMonitor.interval (3m) leaves less than the two scrapes in five minutes that alerts compare",
        ),
        (
            {**ALERTS, "monitor": {"intervalSeconds": 301}},
            "monitor.intervalSeconds (301) is longer than what alerts look back for: set it to 300 or less",
        ),
        (
            {**ALERTS, "lanes": {"live": {"deadLetterRetention": "72h"}}},
            "lane live: each dead letter would raise PipelineDeadLettersExpireSoon at once, as its queue keeps it for",
        ),
        ({"podMonitor": {"enabled": True, "scrapedOtherwise": True}}, "what is scraped twice counts twice: set one"),
        ({"settings": {"PIPELINE_DATABASE_URL": "postgresql://"}}, "PIPELINE_DATABASE_URL is a secret: put it into"),
        ({"settings": {"PIPELINE_LIVE_QUEUE": "q"}}, "PIPELINE_LIVE_QUEUE is the lanes': set lanes.LANE.queueUrl"),
        (
            {"pools": [{**POOL, "settings": {"PIPELINE_WORKER_CONCURRENCY": "9"}}]},
            "pool live: settings.PIPELINE_WORKER_CONCURRENCY is the pool's: set its concurrency",
        ),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_values_that_can_not_work_are_refused_with_the_way_out(varied: Varied, over: object, message: str) -> None:
    assert message in refusal(varied, over)


def test_alerts_may_do_without_the_pod_monitor_where_others_scrape(varied: Varied) -> None:
    found = varied.objects({"prometheusRule": {"enabled": True}, "podMonitor": {"scrapedOtherwise": True}})
    assert (1, 0) == (len(found.of("PrometheusRule")), len(found.of("PodMonitor")))


def test_all_faults_are_told_at_once(varied: Varied) -> None:
    said = refusal(varied, {"settings": {"PIPELINE_CONTROL_BUCKET": ""}, "pools": [POOL, POOL], "secrets": []})
    assert "PIPELINE_CONTROL_BUCKET is empty" in said
    assert "two pools are called live" in said


def test_a_release_whose_name_is_too_long_is_refused_and_an_override_is_the_way_out(varied: Varied) -> None:
    assert "or set fullnameOverride" in refusal(varied, {}, release=LONGEST_RELEASE)
    assert varied.objects({"fullnameOverride": "fleet"}, release=LONGEST_RELEASE).all
