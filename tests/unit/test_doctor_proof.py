from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from etl_core.errors import ConfigError
from pipeline_processing.cli import doctor
from pipeline_processing.safety import RULES

if TYPE_CHECKING:
    from pathlib import Path

SAFE = "lanes: {live: {}}\npools: [{name: live, lane: live, longestItem: 30s, scaling: {max: 4}}]\n"


def _run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, dict[str, str]]]:
    code = doctor.main([*arguments, "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert code == answer["exit_code"]
    return code, {check["subject"]: check for check in answer["checks"]}


def _file(folder: Path, text: str, name: str = "deployment.yaml") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def test_a_safe_deployment_is_proven_rule_by_rule(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, checks = _run(capsys, "--config", _file(tmp_path, SAFE))

    states = {subject: check["state"] for subject, check in checks.items()}
    assert 0 == code
    assert {"lane live", "together", *(rule.name for rule in RULES)} == set(states)
    skipped = {subject for subject, state in states.items() if state == "skipped"}
    assert {"stall-outlasts-lag", "runs-end-in-time"} == skipped
    assert {"ok", "skipped"} == set(states.values())


def test_nothing_is_reached_and_no_setting_of_this_process_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPELINE_LEASE", "no duration")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")

    code, _ = _run(capsys, "--config", _file(tmp_path, SAFE))

    assert 0 == code


def test_an_unsafe_deployment_is_refused_with_reason_and_way_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = SAFE + "limits: {postgresConnections: 30, postgresReserved: 10}\n"

    code, checks = _run(capsys, "--config", _file(tmp_path, text))

    check = checks["limits: connections-within-limit"]
    assert (2, "unsafe") == (code, check["state"])
    assert "but Postgres has 20" in check["message"]
    assert "Postgres refuses the rest" in check["message"]
    assert "limits.postgresConnections to 91 or more" in check["way_out"]  # 8 pods of 10, one migration, 10 kept


def test_what_is_not_limited_is_skipped_not_proven(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, checks = _run(capsys, "--config", _file(tmp_path, SAFE + "limits: {postgresConnections: 0}\n"))

    assert (0, "skipped") == (code, checks["connections-within-limit"]["state"])


def test_values_are_proven_over_the_charts_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = _file(tmp_path, BASE + "poolDefaults: {scaling: {min: 3}}", "first.yaml")
    second = _file(tmp_path, "poolDefaults: {scaling: {max: 2}}", "second.yaml")

    assert 0 == _run(capsys, "--chart", first)[0]
    code, checks = _run(capsys, "--chart", first, "--chart", second)

    assert 2 == code
    assert "set scaling.max to 3 or more" == checks["pool live: min-within-max"]["way_out"]


BASE = """
settings: {PIPELINE_CONTROL_BUCKET: control}
lanes: {live: {queueUrl: "https://sqs.us-east-1.amazonaws.com/111122223333/live"}}
"""
BUCKETS = "settings: {PIPELINE_SOURCE_BUCKET: s, PIPELINE_DESTINATION_BUCKET: d}"


@pytest.mark.parametrize(
    ("what", "state", "words"),
    [
        (
            f"job: get_s3_files, args: [--all-agencies], {BUCKETS}",
            "ok",
            "it is understood: get_s3_files --all-agencies",
        ),
        ("job: get_s3_files, args: [--all-agencies]", "fault", "no source bucket"),
        (f"job: get_s3_files, args: [--all-agencys], {BUCKETS}", "fault", "did you mean --all-agencies?"),
        ("job: get_s3_file", "fault", "there is no job 'get_s3_file'"),
        ("job: bronze_to_silver, args: [--dataset, x]", "fault", "whose files?"),
        ("command: [controller, reconcile]", "ok", "it is understood: controller reconcile"),
        ("command: [run, vacuum]", "fault", "which dataset?"),
        ("command: [run, vacuum], args: [--, --dataset, x, --yes]", "ok", "understood: run vacuum -- --dataset x"),
        ("command: [controler, reconcile]", "fault", "there is no command 'controler'"),
        ("command: [dlq, redrive, --everything]", "fault", "unrecognized option --everything"),
        ("command: [local, up]", "skipped", "only the pod can check what local is given"),
    ],
)
def test_a_scheduled_job_reads_its_arguments_with_its_schedules_settings_alone(
    *,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    state: str,
    words: str,
) -> None:
    monkeypatch.setenv("PIPELINE_SOURCE_BUCKET", "of-this-process")
    monkeypatch.setenv("PIPELINE_DESTINATION_BUCKET", "of-this-process")
    text = f'{BASE}schedules: [{{name: s, cron: "1 2 * * *", {what}}}]'

    code, checks = _run(capsys, "--chart", _file(tmp_path, text))

    assert (2 if state == "fault" else 0, state) == (code, checks["schedule s"]["state"])
    assert words in checks["schedule s"]["message"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (BASE + "image: {pullPolicy: Sometimes}", "image.pullPolicy: 'Sometimes' is not one of"),
        (BASE + 'poolDefaults: {scaling: {max: "10"}}', "poolDefaults.scaling.max: '10' is not of type 'integer'"),
        (BASE.replace("https://", ""), "lanes.live.queueUrl"),
        (BASE + "identity: {worker: {roleArn: worker}}", "identity.worker.roleArn: 'worker' does not match"),
    ],
)
def test_what_the_charts_schema_refuses_is_refused_here_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        doctor.main(["--chart", _file(tmp_path, text)])

    assert words in caught.value.what


def test_limits_of_processors_that_there_are_not_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = SAFE.replace("longestItem: 30s", "longestItem: 30s, concurrency: 1, processors: {s3_file: 1, silver: 1}")

    code, checks = _run(capsys, "--config", _file(tmp_path, text))

    check = checks["pool live: processors"]
    assert (2, "there is no processor 's3_file'", "did you mean s3_files?") == (
        code,
        check["message"],
        check["way_out"],
    )


def test_a_misspelt_setting_is_told_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        doctor.main(["--chart", _file(tmp_path, "settings: {PIPELINE_LEES: 1m}")])

    assert 1 == str(caught.value).count("PIPELINE_LEES")


def test_a_table_for_people_ends_with_the_ways_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "lanes: {live: {maxReceiveCount: 3}}\npools: [{name: live, lane: live, longestItem: 30s}]\n"

    code = doctor.main(["--config", _file(tmp_path, text)])

    out = capsys.readouterr().out
    assert 2 == code
    assert out.index("ways out") < out.index("set maxReceiveCount to 7 or more")
    assert "exit code 2" in out.splitlines()[-1]


def test_config_and_chart_exclude_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = _file(tmp_path, SAFE)

    with pytest.raises(SystemExit) as ended:
        doctor.main(["--config", file, "--chart", file])

    assert 2 == ended.value.code
    assert "not allowed with" in capsys.readouterr().err
