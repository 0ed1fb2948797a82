"""What can be known to be wrong with a manifest before the cluster sees it."""

from __future__ import annotations

import os
import re
import sys
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final, get_args

from pydantic import SecretStr

from etl_core.errors import ConfigError, check_all
from etl_core.settings import assuming, environment, load
from pipeline_processing.arguments import typed_as
from pipeline_processing.cli.main import parse_of
from pipeline_processing.deployment import settings_from, workload
from pipeline_processing.deployment.cron import check_cron
from pipeline_processing.deployment.zones import check_zone
from pipeline_processing.jobs.registry import discover
from pipeline_processing.layout import RUN_ID
from pipeline_processing.settings import Settings
from pipeline_processing.tolerance import Tolerance

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from pipeline_processing.job import Job

LEAST_STARTING_DEADLINE: Final = timedelta(seconds=10)
"""The CronJob controller looks every ten seconds; with less it may never be in time."""

_BEGINNINGS: Final = {("controller", "run"), ("controller", "plan"), ("backfill", "run")}
_PREFIX: Final = "PIPELINE_"
_BUCKETS: Final = {f"{name}_bucket": f"the-{name}-bucket" for name in ("control", "source", "destination", "silver")}
"""Stand for what the pod has and this process has not."""
_SECRETS: Final = frozenset(
    f"{_PREFIX}{name.upper()}"
    for name, field in Settings.model_fields.items()
    if SecretStr in {field.annotation, *get_args(field.annotation)}
)
_SECRET_NAME: Final = re.compile(r"(?:PASSWORD|SECRET|TOKEN|CREDENTIAL|PRIVATE_KEY|ACCESS_KEY)(?!.*_(?:FILE|ID)$)")
_PASSWORD: Final = re.compile(r"://[^/\s:@]*:[^/\s@]+@|(?i:\b(?:ssl)?(?:password|passwd|pwd)\s*=\s*\S)")
"""In a URL, or in a DSN. The chart's `namesSecret` and `holdsPassword` are these two."""

_LABEL: Final = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_DOMAIN: Final = rf"{_LABEL}(?:\.{_LABEL})*"
_DOMAIN_LIMIT: Final = 253
_RELEASE_LIMIT: Final = 53
_IMAGE: Final = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]+)?/)?"
    r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*"
    r"(?P<tag>:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(?P<digest>@sha256:[0-9a-f]{64})?"
)
_QUANTITY: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(m|k|M|G|T|Ki|Mi|Gi|Ti)?")
_UNITS: Final = {"m": 0.001, None: 1.0} | {
    unit: base ** (power + 1)
    for base, units in ((1e3, ("k", "M", "G", "T")), (2.0**10, ("Ki", "Mi", "Gi", "Ti")))
    for power, unit in enumerate(units)
}


def check_names(wanted: workload.Workload, options: argparse.Namespace) -> None:
    """Raise ConfigError for what can not be a name."""
    limit, why = workload.NAME_LIMIT, "it is a label of the Job's pods"
    if wanted.schedule:
        limit, why = workload.CRON_NAME_LIMIT, "a CronJob's Jobs add 11 characters to it"
    elif wanted.is_begun:
        limit, why = workload.BEGINNING_LIMIT, "the API server adds 6 characters to it"
    named = {
        "--service-account": [options.service_account],
        "--config-map": options.config_map,
        "--secret": options.secret,
        "--contracts": [options.contracts],
    }
    check_all(
        lambda: _named("--name", wanted.name, _LABEL, limit, why),
        lambda: _named("--release", options.release, _LABEL, _RELEASE_LIMIT, "it is Helm's limit"),
        lambda: _named("--lane", options.lane, _LABEL, workload.NAME_LIMIT, "it is a lane's name"),
        lambda: _named("--namespace", options.namespace, _LABEL, workload.NAME_LIMIT, "it is a label"),
        lambda: _image(options.image),
        *(
            partial(_named, option, one, _DOMAIN, _DOMAIN_LIMIT, "it is an object's name")
            for option, names in named.items()
            for one in names
        ),
    )


def check_run(options: argparse.Namespace) -> None:
    """Raise ConfigError where the run's own options do not fit together, or there is no run."""
    if options.command:
        given = [name for name in ("run_id", "lane", "tolerate_failures", "timeout") if getattr(options, name)]
        given += ["mode"] if options.mode == "inline" else []
        if given:
            raise ConfigError(
                "belongs to the run of a JOB",
                where=" and ".join(f"--{name.replace('_', '-')}" for name in given),
                way_out="write a command's own options behind --",
            )
    if options.tolerate_failures is not None:
        Tolerance.parse(options.tolerate_failures)
    if options.run_id is not None and not RUN_ID.fullmatch(options.run_id):
        raise ConfigError(
            f"{options.run_id!r} can not be a run's id",
            where="--run-id",
            way_out="use 1 to 128 letters, digits, '.', '_' and '-', a letter or digit first",
        )
    if options.run_id is not None and options.cron:
        raise ConfigError(
            "every Job of the schedule would be the same run", where="--run-id", way_out="leave it out with --cron"
        )
    if options.mode == "inline":
        given = [name for name in ("lane", "timeout") if getattr(options, name) is not None]
        if given:
            raise ConfigError(
                "a run within one process has no queue to wait for",
                where=" and ".join(f"--{name}" for name in given),
                way_out="leave it out with --mode inline",
            )
    if options.timeout is not None and options.timeout >= options.deadline:
        raise ConfigError(
            "the Job is killed before the run ends itself",
            where="--timeout",
            way_out="give less than --deadline",
        )


def check_schedule(options: argparse.Namespace) -> None:
    """Raise ConfigError for a schedule that Kubernetes would refuse or never start."""
    if options.cron is None:
        given = [name for name in ("timezone", "starting_deadline") if getattr(options, name) is not None]
        if given:
            names = " and ".join(f"--{name.replace('_', '-')}" for name in given)
            raise ConfigError("belongs to a schedule", where=names, way_out='give --cron "15 2 * * *" too')
        return
    check_all(
        lambda: check_cron(options.cron, where="--cron"),
        lambda: _timezone(options.timezone),
        lambda: _starting_deadline(options.starting_deadline),
    )


def check_resources(resources: workload.Resources) -> None:
    """Raise ConfigError for what is no quantity, and for a limit below its request."""
    options = {
        "--cpu": resources.cpu,
        "--memory": resources.memory,
        "--memory-limit": resources.memory_limit,
        "--scratch": resources.scratch,
    }
    check_all(*(partial(_amount, option, text) for option, text in options.items()))
    amounts = {option: _amount(option, text) for option, text in options.items()}
    if amounts["--memory"] > amounts["--memory-limit"]:
        raise ConfigError(
            f"{resources.memory_limit} is less than the {resources.memory} that --memory asks for",
            where="--memory-limit",
            way_out="give as much or more",
        )


def check_encoding(words: Sequence[str]) -> None:
    """Raise ConfigError, without repeating it, for what was not typed in UTF-8: no reader of a manifest takes it."""
    for number, word in enumerate(words, start=1):
        if any("\ud800" <= character <= "\udfff" for character in word):
            raise ConfigError("it is not UTF-8", where=f"argument {number}", way_out="write it in UTF-8")


def check_secrets(arguments: Sequence[str], variables: Mapping[str, str]) -> None:
    """Raise ConfigError, without repeating it, for what looks like a secret: a manifest is kept and read by many."""
    names = [name for name in variables if name.upper() in _SECRETS or _SECRET_NAME.search(name.upper())]
    names += [name for name, value in variables.items() if name not in names and _PASSWORD.search(value)]
    if names:
        raise ConfigError(
            f"{', '.join(names)} would stand in the manifest",
            where="--env",
            way_out="put it into a Secret and name that: --secret NAME",
        )
    if any(_PASSWORD.search(argument) for argument in arguments):
        raise ConfigError(
            "a URL or DSN with a password would stand in the manifest",
            where="ARGS",
            way_out="put it into a Secret and name that: --secret NAME",
        )


def check_variables(variables: Mapping[str, str], *, has_contracts: bool) -> None:
    """Raise ConfigError for a misspelt setting, a value that it can not have, and what the manifest sets itself.

    Settings are read without regard to case.
    """
    taken = {*workload.RUN_ID_PARTS, *(["PIPELINE_CONTRACTS_DIR"] if has_contracts else [])}
    if own := sorted(name for name in variables if name.upper() in taken):
        raise ConfigError(f"the manifest sets {', '.join(own)} itself", where="--env", way_out="leave it out")
    settings_from({name: value for name, value in variables.items() if name.upper().startswith(_PREFIX)}, where="--env")


def check_arguments(
    load_job: Callable[[], Job], arguments: Sequence[str], options: argparse.Namespace, own: Collection[str]
) -> None:
    """Let the job itself parse what it will be given; buckets may be the ConfigMap's to name.

    ``load_job`` makes the job anew: one that has read its settings keeps them.
    """
    given = _given(options)
    job = load_job()
    with typed_as(
        f"pipeline-processing manifest {job.name} --", see=f"pipeline-processing run {job.name} --help", before=own
    ):
        try:
            with assuming(given):
                job.parse(arguments)
        except ConfigError as error:
            if not (options.config_map or options.secret):
                raise
            with assuming(_left_to_the_pod() | given):
                load_job().parse(arguments)
            names = " and ".join(["--config-map"] * bool(options.config_map) + ["--secret"] * bool(options.secret))
            print(f"note: left to {names}, as it is not set here: {error}", file=sys.stderr)
    for argument in arguments:
        file = argument.rpartition("=")[2]
        if os.path.isfile(file):  # noqa: PTH113 - False, where Path raises, for a text too long to be a path
            print(f"note: {file} is a file of this machine: the pod reads its own of that name", file=sys.stderr)


def check_command(words: Sequence[str]) -> None:
    """Let the command itself read its words, where it can do that and nothing else; ConfigError for no command."""
    name, *rest = words
    if tuple(words[:2]) in _BEGINNINGS and not any(word.partition("=")[0] == "--run-id" for word in words):
        raise ConfigError(
            "a pod that replaces another would begin a second run",
            where=" ".join(words[:2]),
            way_out="print the run: pipeline-processing manifest JOB [OPTIONS] -- ARGS; or give --run-id",
        )
    if name == "run":
        _read_job(rest)
    elif parse := parse_of(name):
        parse(rest)
    else:
        print(f"note: only the pod can check what {name} is given", file=sys.stderr)


def _read_job(words: Sequence[str]) -> None:
    """Let the job that `run` is for read its own words, on both sides of a `--`."""
    if not words:
        raise ConfigError("which job?", where="run", way_out="pipeline-processing jobs lists them")
    job = discover().load(words[0].replace("-", "_"))
    with typed_as(f"pipeline-processing run {job.name}"), assuming(_left_to_the_pod()):
        job.parse([word for word in words[1:] if word != "--"])


def doubts(options: argparse.Namespace) -> Iterator[str]:
    """Yield what may be meant so, but most likely keeps the pod from its work."""
    if "/" not in options.image:
        yield f"--image {options.image} names no registry: nodes look for it at Docker Hub"
    if options.service_account is None:
        yield "no --service-account: the pod has the one called default, most likely without a role in AWS"
    if options.lane is not None and not options.unchecked:
        with assuming(_given(options)):
            lanes = load(Settings).lanes
        if lanes and options.lane not in lanes:
            yield f"--lane {options.lane}: here only {', '.join(lanes)} has a queue; the pod's settings must name its"


def _given(options: argparse.Namespace) -> dict[str, str]:
    """Return the settings of --env, by field."""
    pairs = {name.upper(): value for name, value in options.env}.items()
    return {name.removeprefix(_PREFIX).lower(): value for name, value in pairs if name.startswith(_PREFIX)}


def _left_to_the_pod() -> dict[str, str]:
    """Return something for each bucket that is not set here: the pod's settings name it."""
    return {name: text for name, text in _BUCKETS.items() if f"{_PREFIX}{name.upper()}" not in environment()}


def _named(option: str, name: str | None, form: str, limit: int, why: str) -> None:
    if name is None:
        return
    if not re.fullmatch(form, name):
        raise ConfigError(
            f"{name!r} is no name",
            where=option,
            way_out="use a-z, 0-9 and '-', beginning and ending with a letter or digit",
        )
    if len(name) > limit:
        raise ConfigError(
            f"{name} has {len(name)} characters",
            where=option,
            way_out=f"at most {limit}: {why}; give --name" if option == "--name" else f"at most {limit}",
        )


def _image(image: str) -> None:
    match = _IMAGE.fullmatch(image)
    if match is None:
        raise ConfigError(
            f"{image!r} is no image", where="--image", way_out="write it as registry/name:tag or registry/name@sha256:…"
        )
    if not match["digest"] and match["tag"] in {None, ":latest"}:
        raise ConfigError(
            f"{image} is whatever was pushed last: a pod that replaces another may run other code",
            where="--image",
            way_out="give its tag or digest",
        )


def _timezone(name: str | None) -> None:
    if name is not None and not check_zone(name, where="--timezone"):
        print(f"note: --timezone {name} is not checked: there is no time zone database here", file=sys.stderr)


def _starting_deadline(duration: timedelta | None) -> None:
    if duration is not None and duration < LEAST_STARTING_DEADLINE:
        raise ConfigError(
            "CronJobs are looked at every ten seconds: it may never be in time",
            where="--starting-deadline",
            way_out="give 10s or more",
        )


def _amount(option: str, text: str) -> float:
    match = _QUANTITY.fullmatch(text)
    if match is None or float(match[1]) == 0:
        raise ConfigError(
            f"{text!r} is no quantity",
            where=option,
            way_out="write 500m or 2" if option == "--cpu" else "write 512Mi or 2Gi",
        )
    return float(match[1]) * _UNITS[match[2]]
