"""`manifest`: what it prints is valid, restricted and resumable; what is wrong is refused before it is printed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kubernetes_validate
import orjson
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.chart.objects import Objects
from tests.chart.semantics import findings, jobs, names, pods, product
from tests.chart.semantics.subject import Subject

from kubelet import expanded, job_of, pod_of, started, variables_of
from pipeline_controller import bootstrap as controller
from pipeline_processing.cli.main import main
from pipeline_processing.cli.manifest import _EXAMPLES, RESOURCES
from pipeline_processing.cli.yaml_text import yaml_text
from pipeline_processing.deployment import workload
from pipeline_processing.layout import RUN_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Document = dict[str, Any]
    Printed = Callable[..., Document]

ROOT = Path(__file__).parents[2]
VALUES = yaml.safe_load((ROOT / "charts/pipeline-processing/values.yaml").read_text())
KUBERNETES = ("1.33", "1.34", "1.35")
UID = "3f1c1d2e-8a0e-4b0e-9d52-0f6a3b7c2d11"

JOB = ("manifest", "get_s3_files", "--config-map", "pipeline-settings")
CRON = (*JOB, "--cron", "15 2 * * *")
COMMAND = ("manifest", "--command", "--service-account", "pipeline-processing-controller")
CANCEL = ("--", "controller", "cancel", "--run-id", "r1")
PLACED = ("--image", "registry.example/pp:1.2.3", "--service-account", "pipeline-processing-controller")
EVERYTHING = (
    "manifest",
    "get-s3-files",
    *("--name", "nightly", "--namespace", "pipeline", "--image", "registry.example:5000/team/pp:1.2.3"),
    *("--cron", "15 2 * * mon-fri", "--timezone", "America/Chicago", "--starting-deadline", "30m"),
    *("--deadline", "6h", "--retries", "3", "--keep", "1d", "--service-account", "pipeline-controller"),
    *("--config-map", "settings", "--config-map", "more.settings", "--secret", "database"),
    *(
        "--contracts",
        "pipeline-contracts",
        "--env",
        "PIPELINE_LOG_LEVEL=debug",
        "--env",
        "AWS_DEFAULT_REGION=eu-west-1",
    ),
    *("--lane", "backfill", "--tolerate-failures", "0.5%", "--timeout", "5h"),
    *("--cpu", "1", "--memory", "1Gi", "--memory-limit", "2Gi", "--scratch", "500Mi"),
)
AGENCY = ("--", "--agency-id", "10")


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SOURCE", "DESTINATION", "SILVER", "CONTROL"):
        monkeypatch.delenv(f"PIPELINE_{name}_BUCKET", raising=False)
    monkeypatch.delenv("PIPELINE_CONTRACTS_DIR", raising=False)


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Printed:
    """What a command prints on stdout, read as YAML."""

    def of(*argv: str) -> Document:
        assert 0 == main(argv)
        document: Document = yaml.safe_load(capsys.readouterr().out)
        return document

    return of


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """Return what is said of a refused command, which prints nothing else and exits with 2."""
    code = main(argv)
    out, err = capsys.readouterr()
    assert (2, "") == (code, out)
    return err


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize(
    "argv", [JOB, CRON, EVERYTHING, (*JOB, "--mode", "inline")], ids=["job", "cron", "everything", "inline"]
)
def test_it_is_valid_to_every_kubernetes_that_we_support(argv: Sequence[str], version: str, printed: Printed) -> None:
    document = printed(*argv, *AGENCY)
    kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("argv", [(), ("--cron", "0 5 * * *")], ids=["job", "cron"])
def test_a_command_is_valid_to_every_kubernetes_and_keeps_the_charts_rules(
    argv: Sequence[str], version: str, printed: Printed
) -> None:
    document = printed(*COMMAND, *argv, *CANCEL)
    kubernetes_validate.validate(document, version, strict=True)
    document["metadata"].setdefault("name", document["metadata"].pop("generateName", ""))
    subject = Subject(Objects((document,)), {}, namespace="fleet")
    assert [] == findings(subject, (*pods.CHECKS, *jobs.CHECKS, product.variables_are_settings))


def test_the_schemas_would_find_a_fault(printed: Printed) -> None:
    document = printed(*JOB, *AGENCY)
    document["spec"]["backofLimit"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, KUBERNETES[-1], strict=True)


@pytest.mark.parametrize(
    "argv", [JOB, CRON, EVERYTHING, (*JOB, "--mode", "inline")], ids=["job", "cron", "everything", "inline"]
)
def test_it_keeps_the_rules_of_the_charts_objects(argv: Sequence[str], printed: Printed) -> None:
    document = printed(*argv, *AGENCY)
    namespace = document["metadata"].get("namespace", "fleet")
    subject = Subject(Objects((document,)), {}, namespace=namespace)
    own = (product.variables_are_settings, product.arguments_name_variables_that_are_there)
    assert [] == findings(subject, (*names.CHECKS, *pods.CHECKS, *jobs.CHECKS, *own))


@pytest.mark.parametrize("argv", [JOB, CRON, EVERYTHING], ids=["job", "cron", "everything"])
def test_its_pod_is_restricted(argv: Sequence[str], printed: Printed) -> None:
    pod = pod_of(printed(*argv, *AGENCY))
    (container,) = pod["containers"]

    assert (False, False, "Never") == (
        pod["automountServiceAccountToken"],
        pod["enableServiceLinks"],
        pod["restartPolicy"],
    )
    assert (True, 10001, 10001, 10001, "RuntimeDefault") == (
        pod["securityContext"]["runAsNonRoot"],
        *(pod["securityContext"][name] for name in ("runAsUser", "runAsGroup", "fsGroup")),
        pod["securityContext"]["seccompProfile"]["type"],
    )
    assert {
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
    } == container["securityContext"]
    assert {"scratch": "/tmp"}.items() <= {one["name"]: one["mountPath"] for one in container["volumeMounts"]}.items()  # noqa: S108 - in the pod
    assert {one["name"] for one in pod["volumes"]} == {one["name"] for one in container["volumeMounts"]}


@pytest.mark.parametrize("argv", [JOB, CRON], ids=["job", "cron"])
def test_exit_codes_decide_what_a_failed_pod_means(argv: Sequence[str], printed: Printed) -> None:
    document = printed(*argv, *AGENCY)
    first, *codes = job_of(document)["podFailurePolicy"]["rules"]

    assert {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]} == first
    assert [("FailJob", [2, 3]), ("Ignore", [137])] == [
        (rule["action"], rule["onExitCodes"]["values"]) for rule in codes
    ]
    assert {("In", pod_of(document)["containers"][0]["name"])} == {
        (rule["onExitCodes"]["operator"], rule["onExitCodes"]["containerName"]) for rule in codes
    }
    assert "Failed" == job_of(document)["podReplacementPolicy"]


def test_times_and_resources_are_those_of_the_chart_where_nothing_is_said(printed: Printed) -> None:
    document = printed(*CRON, *AGENCY)
    usual = VALUES["scheduleDefaults"]

    spec, job = document["spec"], job_of(document)
    assert {
        "timezone": spec["timeZone"],
        "startingDeadlineSeconds": spec["startingDeadlineSeconds"],
        "activeDeadlineSeconds": job["activeDeadlineSeconds"],
        "backoffLimit": job["backoffLimit"],
        "ttlSecondsAfterFinished": job["ttlSecondsAfterFinished"],
    }.items() <= usual.items()
    assert "Forbid" == spec["concurrencyPolicy"]
    for mode, part in (("fleet", usual), ("inline", VALUES["poolDefaults"])):
        resources = RESOURCES[mode]
        assert (part["resources"], part["scratch"]) == (
            {
                "requests": {"cpu": resources.cpu, "memory": resources.memory},
                "limits": {"memory": resources.memory_limit},
            },
            resources.scratch,
        )


def test_what_is_said_stands_in_it(printed: Printed) -> None:
    document = printed(*EVERYTHING, *AGENCY)
    spec, job, pod = document["spec"], job_of(document), pod_of(document)
    (container,) = pod["containers"]

    assert ("nightly", "pipeline") == (document["metadata"]["name"], document["metadata"]["namespace"])
    assert ("15 2 * * mon-fri", "America/Chicago", 1800) == (
        spec["schedule"],
        spec["timeZone"],
        spec["startingDeadlineSeconds"],
    )
    assert (21_600, 3, 86_400) == (
        job["activeDeadlineSeconds"],
        job["backoffLimit"],
        job["ttlSecondsAfterFinished"],
    )
    assert ("registry.example:5000/team/pp:1.2.3", "pipeline-controller") == (
        container["image"],
        pod["serviceAccountName"],
    )
    assert [
        {"configMapRef": {"name": "settings"}},
        {"configMapRef": {"name": "more.settings"}},
        {"secretRef": {"name": "database"}},
    ] == container["envFrom"]
    assert {
        "PIPELINE_LOG_LEVEL": "debug",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "PIPELINE_CONTRACTS_DIR": "/etc/pipeline-contracts",
    } == {variable["name"]: variable["value"] for variable in container["env"] if "value" in variable}
    assert {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi"}} == container["resources"]
    assert [
        {"name": "scratch", "emptyDir": {"sizeLimit": "500Mi"}},
        {"name": "contracts", "configMap": {"name": "pipeline-contracts"}},
    ] == pod["volumes"]


def test_json_is_the_same_document(printed: Printed, capsys: pytest.CaptureFixture[str]) -> None:
    document = printed(*EVERYTHING, *AGENCY)
    assert 0 == main([*EVERYTHING, "--json", *AGENCY])
    assert document == orjson.loads(capsys.readouterr().out)


def test_the_controller_reads_what_the_pod_is_started_with(printed: Printed) -> None:
    command, *argv = started(printed(*EVERYTHING, *AGENCY), job_name="nightly-29384750", uid=UID)
    options = controller.parse(argv)

    assert ("controller", "run", "get_s3_files") == (command, options.command, options.job)
    assert (f"nightly-29384750-{UID}", "backfill", "0.5%", 18_000.0) == (
        options.run_id,
        options.lane,
        options.tolerate_failures,
        options.timeout.total_seconds(),
    )
    assert ["--agency-id", "10"] == options.arguments


def test_a_pod_that_replaces_another_has_its_run_and_another_job_of_that_name_has_not(printed: Printed) -> None:
    document = printed(*JOB, *AGENCY)
    first = started(document, job_name="get-s3-files", uid=UID)

    assert first == started(document, job_name="get-s3-files", uid=UID)
    assert first != started(document, job_name="get-s3-files", uid=UID[::-1])


def test_a_long_time_to_wait_is_a_duration_to_the_controller(printed: Printed) -> None:
    document = printed(*JOB, "--deadline", "30d", "--timeout", "29d", *AGENCY)
    options = controller.parse(started(document, job_name="one", uid=UID)[1:])
    assert 29 == options.timeout.days


def test_the_longest_name_still_makes_an_id_of_a_run() -> None:
    run_id = expanded(workload.RUN_ID, {"JOB_NAME": "n" * workload.NAME_LIMIT, "JOB_UID": UID})
    assert RUN_ID.fullmatch(run_id)


def test_a_run_that_is_named_is_resumed_by_name(printed: Printed) -> None:
    document = printed(*JOB, "--run-id", "get_s3_files-20300102T030405Z-d905e156", *AGENCY)
    assert "get_s3_files-20300102T030405Z-d905e156" in started(document, job_name="again", uid=UID)
    assert [] == pod_of(document)["containers"][0]["env"]


def test_inline_the_run_has_no_lane_and_a_workers_memory(printed: Printed) -> None:
    document = printed(*JOB, "--mode", "inline", *AGENCY)
    options = controller.parse(started(document, job_name="one", uid=UID)[1:])
    assert ("inline", f"one-{UID}") == (options.mode, options.run_id)
    assert "1536Mi" == pod_of(document)["containers"][0]["resources"]["limits"]["memory"]


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_the_kubelet_makes_of_a_literal_what_was_written(text: str) -> None:
    assert text == expanded(workload.literal(text), {"HOME": "/root", "JOB_NAME": "other", "": "empty"})


def test_a_variable_has_the_value_that_was_given(printed: Printed) -> None:
    document = printed(*JOB, "--env", "PRICE=$(JOB_NAME) $$5", *AGENCY)
    assert "$(JOB_NAME) $$5" == variables_of(document, job_name="one", uid=UID)["PRICE"]


GO_READS_AS_NO_TEXT = re.compile(
    r"[-+]?(0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*)|[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
    r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)|~|null|Null|NULL|<<|=|[0-9]{4}-[0-9]+-[0-9]+.*"
    r"|y|Y|yes|Yes|YES|n|N|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF|"
)
"""What the YAML of Kubernetes takes for a number, a boolean, null or a date where it stands unquoted."""


@given(
    st.one_of(
        st.text(st.characters(exclude_categories=["Cs"])),
        st.from_regex(GO_READS_AS_NO_TEXT, fullmatch=True),
        st.sampled_from(["1e3", "0o17", "0x1F", "1_000", "12:30", "y", "No", "null", "#", "- a", "a: b", "é", "\x85"]),
    )
)
def test_every_text_stays_a_text_in_yaml(text: str) -> None:
    written = yaml_text({"args": [text]})
    assert {"args": [text]} == yaml.safe_load(written)
    bare = written.removeprefix("args:\n  - ").removesuffix("\n")
    assert bare.startswith('"') or not GO_READS_AS_NO_TEXT.fullmatch(bare)


def test_an_argument_can_not_break_out_of_the_comment_above(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main([*JOB, "--", "--agency-id", "10\nkind: Pod", "--source-prefix", "é{agency_id}$(JOB_UID)$$/"])
    out = capsys.readouterr().out
    document = yaml.safe_load(out)

    comment, first, *_ = out.splitlines()
    assert "apiVersion: batch/v1" == first
    assert comment.startswith("# pipeline-processing manifest get_s3_files ")
    assert "é{agency_id}$(JOB_UID)$$/" == started(document, job_name="one", uid=UID)[-1]


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["manifest"], "the following arguments are required: JOB"),
        (["manifest", "get_s3_files", "--command", *CANCEL], "either JOB, or --command"),
        ([*COMMAND], "--command: which?"),
        ([*COMMAND, "--", "controler", "status"], "there is no command 'controler' (did you mean controller?)"),
        ([*COMMAND, "--", "controller", "cancel"], "the following arguments are required: --run-id"),
        ([*COMMAND, "--", "controller", "status", "--every"], "unrecognized option --every"),
        ([*COMMAND, "--", "dlq", "redrive", "--fingerprnt", "x"], "did you mean --fingerprint?"),
        ([*COMMAND, "--", "doctor", "--without", "everything"], "invalid choice: 'everything'"),
        ([*COMMAND, "--", "controller", "run", "get_s3_files"], "would begin a second run"),
        ([*COMMAND, "--", "backfill", "run", "--dataset", "x"], "would begin a second run"),
        ([*COMMAND, "--", "backfill", "rollback"], "the following arguments are required: RUN"),
        ([*COMMAND, "--", "quarantine", "list", "--datset", "x"], "unrecognized option --datset"),
        ([*COMMAND, "--", "quarantine", "lst"], "invalid choice: 'lst'"),
        ([*COMMAND, "--", "run"], "which job?"),
        ([*COMMAND, "--", "run", "vacum"], "there is no job 'vacum' (did you mean vacuum?)"),
        ([*COMMAND, "--", "run", "vacuum", "--", "--datset", "x"], "unrecognized option --datset"),
        ([*COMMAND, "--lane", "live", "--mode", "inline", *CANCEL], "--lane and --mode: belongs to the run of a JOB"),
        ([*COMMAND, "--run-id", "r1", *CANCEL], "--run-id: belongs to the run of a JOB"),
        ([*COMMAND, "--release", "a.b", *CANCEL], "--release: 'a.b' is no name"),
        ([*COMMAND, "--release", "r" * 40, *CANCEL], "(at most 57: the API server adds 6 characters to it"),
        ([*COMMAND, "--", "dlq", "show", "postgresql://me:pw@db/x"], "a URL or DSN with a password would stand"),
        (["manifest", "get_s3_file"], "there is no job 'get_s3_file' (did you mean get_s3_files?)"),
        ([*JOB, "--agency-id", "10"], "unrecognized option --agency-id (the job's own options stand behind --)"),
        ([*JOB, "--", "--agenc-id", "10"], "unrecognized option --agenc-id (did you mean --agency-id?)"),
        ([*JOB, "--", "--agency-id", "10", "--run-id", "r1"], "unrecognized option --run-id (it stands before --)"),
        ([*JOB, "--"], "whose files?"),
        (
            ["manifest", "bronze_to_silver", "--config-map", "s", "--", "--dataset", "x", "--all-agencies"],
            "no folder of contracts to look for 'x' in",
        ),
        (["manifest", "get_s3_files", *AGENCY], "no source bucket"),
        ([*JOB, "--name", "Nightly_1", *AGENCY], "--name: 'Nightly_1' is no name"),
        ([*JOB, "--name", "n" * 64, *AGENCY], "has 64 characters (at most 63"),
        ([*CRON, "--name", "n" * 53, *AGENCY], "has 53 characters (at most 52: a CronJob's Jobs add 11"),
        ([*JOB, "--lane", "Live", *AGENCY], "--lane: 'Live' is no name"),
        ([*JOB, "--namespace", "a.b", *AGENCY], "--namespace: 'a.b' is no name"),
        ([*JOB, "--secret", "KEY=value", *AGENCY], "--secret: 'KEY=value' is no name"),
        ([*JOB, "--image", "Registry/Name:1", *AGENCY], "--image: 'Registry/Name:1' is no image"),
        ([*JOB, "--image", "registry:5000/name", *AGENCY], "is whatever was pushed last"),
        ([*JOB, "--image", "name:latest", *AGENCY], "is whatever was pushed last"),
        ([*JOB, "--cron", "61 2 * * *", *AGENCY], "--cron: minute: 61 is not within 0 to 59"),
        ([*CRON, "--timezone", "Chicago", *AGENCY], "no time zone 'Chicago' (did you mean America/Chicago?)"),
        ([*CRON, "--timezone", "Local", *AGENCY], "no time zone 'Local'"),
        ([*CRON, "--starting-deadline", "9s", *AGENCY], "it may never be in time"),
        ([*CRON, "--run-id", "r1", *AGENCY], "every Job of the schedule would be the same run"),
        ([*JOB, "--timezone", "UTC", *AGENCY], "--timezone: belongs to a schedule"),
        ([*JOB, "--run-id", "a b", *AGENCY], "can not be a run's id"),
        ([*JOB, "--tolerate-failures", "some", *AGENCY], "neither a count nor a percentage"),
        ([*JOB, "--timeout", "12h", *AGENCY], "the Job is killed before the run ends itself"),
        ([*JOB, "--mode", "inline", "--lane", "live", *AGENCY], "--lane: a run within one process has no queue"),
        ([*JOB, "--deadline", "0s", *AGENCY], "is less than a second"),
        ([*JOB, "--deadline", "soon", *AGENCY], "'soon' is not a duration"),
        ([*JOB, "--keep", "99999d", *AGENCY], "or more than 10 years"),
        ([*JOB, "--keep", "9999999999d", *AGENCY], "argument --keep"),
        ([*JOB, "--retries", "-1", *AGENCY], "not a number from 0"),
        ([*JOB, "--retries", "1001", *AGENCY], "not a number from 0 to 1000"),
        ([*JOB, "--memory", "512MB", *AGENCY], "--memory: '512MB' is no quantity"),
        ([*JOB, "--memory", "2Gi", *AGENCY], "1Gi is less than the 2Gi that --memory asks for"),
        ([*JOB, "--cpu", "0", *AGENCY], "--cpu: '0' is no quantity"),
        ([*JOB, "--env", "NAME", *AGENCY], "write it as NAME=VALUE"),
        ([*JOB, "--env", "PIPELINE_LEASE=soon", *AGENCY], "PIPELINE_LEASE: 'soon' is not a duration"),
        ([*JOB, "--env", "PIPELINE_SORCE_BUCKET=a", *AGENCY], "(did you mean PIPELINE_SOURCE_BUCKET?)"),
        ([*JOB, "--env", "JOB_UID=1", *AGENCY], "the manifest sets JOB_UID itself"),
        (
            [*JOB, "--contracts", "c", "--env", "PIPELINE_CONTRACTS_DIR=/x", *AGENCY],
            "the manifest sets PIPELINE_CONTRACTS_DIR itself",
        ),
        (
            [*JOB, "--contracts", "c", "--env", "pipeline_contracts_dir=/x", *AGENCY],
            "the manifest sets pipeline_contracts_dir itself",
        ),
        ([*JOB, "--env", "pipeline_lease=x", *AGENCY], "PIPELINE_LEASE: 'x' is not a duration"),
        ([*JOB, "--env", "pipeline_lese=5m", *AGENCY], "did you mean PIPELINE_LEASE"),
        ([*JOB, "--env", "A=\udcff", *AGENCY], "argument 5: it is not UTF-8"),
        ([*JOB, *AGENCY, "--source-prefix", "\udcff/{agency_id}"], "it is not UTF-8"),
    ],
)
def test_what_would_fail_at_night_is_refused_now(
    argv: Sequence[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert says in refused(capsys, *argv)


@pytest.mark.parametrize(
    "argv",
    [
        [*JOB, "--env", "PIPELINE_DATABASE_URL=postgresql://db/x?password=hunter2", *AGENCY],
        [*JOB, "--env", "PIPELINE_TOKEN_KEY=hunter2hunter2hunter2", *AGENCY],
        [*JOB, "--env", "AWS_SECRET_ACCESS_KEY=hunter2", *AGENCY],
        [*JOB, "--env", "AWS_SESSION_TOKEN=hunter2", *AGENCY],
        [*JOB, "--env", "SOME_URL=https://me:hunter2@example.org/", *AGENCY],
        [*JOB, "--env", "DSN=host=h password=hunter2", *AGENCY],
        [*JOB, "--env", "DSN=Server=h;Pwd = hunter2", *AGENCY],
        [*JOB, "--env", "pipeline_database_url=hunter2", *AGENCY],
        [*JOB, *AGENCY, "--source-prefix", "postgresql://me:hunter2@db/{agency_id}"],
    ],
)
def test_a_secret_is_refused_and_not_repeated(argv: Sequence[str], capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, *argv)
    assert "would stand in the manifest (put it into a Secret and name that: --secret NAME)" in said
    assert "hunter2" not in said


def test_a_variable_that_names_a_file_of_a_secret_is_none(printed: Printed) -> None:
    document = printed(*JOB, "--env", "AWS_WEB_IDENTITY_TOKEN_FILE=/var/run/token", *AGENCY)
    assert "/var/run/token" == pod_of(document)["containers"][0]["env"][-1]["value"]


def test_all_that_is_wrong_is_said_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(
        capsys, *CRON, "--name", "N", "--timezone", "Chicago", "--cpu", "x", "--env", "PIPELINE_X=1", *AGENCY
    )
    assert [] == [part for part in ("--name", "--timezone", "--cpu", "--env") if f"{part}: " not in said]


def test_what_the_config_map_must_name_is_noted_beside_the_manifest(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main([*JOB, *AGENCY])
    assert (
        "note: left to --config-map, as it is not set here: get_s3_files: no source bucket" in capsys.readouterr().err
    )


def test_a_variable_of_the_manifest_counts_where_arguments_are_checked(capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"--env=PIPELINE_{name}_BUCKET={name.lower()}" for name in ("SOURCE", "DESTINATION")]
    assert 0 == main(["manifest", "get_s3_files", *PLACED, *names, *AGENCY])
    assert "" == capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "doubt"),
    [
        ((*JOB, "--service-account", "c"), "--image pipeline-processing:0.1.0 names no registry"),
        ((*JOB, "--image", "registry.example/pp:1.2.3"), "no --service-account"),
        (
            (*JOB, *PLACED, "--env", "PIPELINE_LIVE_QUEUE=q", "--lane", "lve"),
            "--lane lve: here only live has a queue",
        ),
    ],
)
def test_what_most_likely_keeps_the_pod_from_its_work_is_noted(
    argv: Sequence[str], doubt: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 0 == main([*argv, *AGENCY])
    assert [doubt] == [doubt for line in capsys.readouterr().err.splitlines() if line.startswith(f"note: {doubt}")]


def test_a_lane_that_has_a_queue_here_is_not_doubted(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main([*JOB, *PLACED, "--env", "PIPELINE_LIVE_QUEUE=q", "--lane", "live", *AGENCY])
    assert "--lane" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ("controller", "cancel", "--run-id", "r1"),
        ("controller", "reconcile"),
        ("dlq", "redrive", "--fingerprint", "$(JOB_NAME)", "--yes"),
        ("doctor", "--without", "silver"),
        ("migrate", "--dry-run"),
        ("run", "vacuum", "--", "--dataset", "officers", "--yes"),
        ("quarantine", "list", "--dataset", "officers", "--json"),
        ("backfill", "run", "--run-id", "r1", "--dataset", "officers", "--all-agencies"),
        ("controller", "run", "get_s3_files", "--run-id=r1", "--", "--all-agencies"),
    ],
    ids=" ".join,
)
def test_a_command_is_started_as_it_was_written_and_is_no_run(words: Sequence[str], printed: Printed) -> None:
    document = printed(*COMMAND, "--", *words)
    assert list(words) == started(document, job_name="one", uid=UID)
    assert [] == pod_of(document)["containers"][0]["env"]
    assert (0, False) == (job_of(document)["backoffLimit"], "pipeline-processing/job" in document["metadata"]["labels"])


def test_a_command_is_another_job_each_time_unless_it_has_a_name(printed: Printed) -> None:
    assert "pipeline-processing-controller-cancel-" == printed(*COMMAND, *CANCEL)["metadata"]["generateName"]
    for argv in (("--name", "once"), ("--cron", "0 5 * * *", "--name", "once")):
        assert "once" == printed(*COMMAND, *argv, *CANCEL)["metadata"]["name"]


def test_a_command_that_only_the_pod_can_check_is_noted(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main([*COMMAND, "--", "contracts", "lint", "--nonsense"])
    assert "note: only the pod can check what contracts is given" in capsys.readouterr().err


def test_to_read_a_commands_words_does_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert 0 == main([*COMMAND, "--", "new-job", "someone", "--jobs-dir", str(tmp_path)])
    assert ([], True) == (list(tmp_path.iterdir()), "only the pod can check" in capsys.readouterr().err)


def test_the_alerts_and_policies_of_the_release_are_for_what_is_printed(printed: Printed) -> None:
    for release, prefix in (("pipeline-processing", "pipeline-processing"), ("nightly", "nightly-pipeline-processing")):
        document = printed(*JOB, "--release", release, *AGENCY)
        assert f"{prefix}-get-s3-files" == document["metadata"]["name"]
        labels = job_of(document)["template"]["metadata"]["labels"]
        assert release == labels["app.kubernetes.io/instance"]


def test_a_file_that_only_this_machine_has_is_noted(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    contract = tmp_path / "officers.odcs.yaml"
    contract.write_text((ROOT / "contracts/officers.odcs.yaml").read_text())
    argv = ["manifest", "bronze_to_silver", "--config-map", "s", "--", "--all-agencies", f"--contract={contract}"]

    assert 0 == main(argv)
    assert f"note: {contract} is a file of this machine" in capsys.readouterr().err


def test_arguments_that_only_the_pod_can_judge_may_pass_unchecked(printed: Printed) -> None:
    argv = ["manifest", "bronze_to_silver", "--unchecked", "--", "--contract", "/data/x.yaml", "--all-agencies"]
    assert ["--contract", "/data/x.yaml", "--all-agencies"] == started(printed(*argv), job_name="one", uid=UID)[-3:]


def examples(text: str) -> list[str]:
    """Return each command of a text that prints a manifest, on one line, without what it is piped into."""
    joined = re.sub(r"\\\n\s*", "", text)
    return [
        re.split(r" [|>] ", line.strip())[0] for line in joined.splitlines() if re.match(r"\s*pipeline-\S+ man", line)
    ]


EXAMPLES = {*examples((ROOT / "docs/manifest.md").read_text()), *examples(_EXAMPLES)}


@pytest.mark.parametrize("command", [one for one in sorted(EXAMPLES) if "[OPTIONS]" not in one])
def test_every_example_prints_a_manifest(command: str, printed: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_CONTRACTS_DIR", str(ROOT / "contracts"))
    assert "batch/v1" == printed(*shlex.split(command)[1:])["apiVersion"]


def test_the_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["manifest", "--help"])
    assert _EXAMPLES in capsys.readouterr().out
    assert 5 <= len(EXAMPLES)
