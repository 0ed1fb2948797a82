"""Which scaling is worth its money: every policy over every trace, and how they are compared.

A policy is the chart's defaults with some values changed. Those that harm an item or cut one short are out, and those
that take pods away by counts which SQS does not vouch for yet. For the others, in each trace, waiting and money are
taken as multiples of the best policy's; the score is the geometric mean over all traces of waiting times money, so that
a percent of one is worth a percent of the other. The lowest wins.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from functools import cache, lru_cache
from math import prod
from typing import TYPE_CHECKING, Any, Final

from tests.simulation.measures import Figures, measure
from tests.simulation.traces import TRACES

from pipeline_processing.deployment import Scaling, merged
from pipeline_processing.deployment.documents import from_chart

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tests.simulation.simulate import Sample
    from tests.simulation.traces import Trace

    from pipeline_processing.deployment import Deployment

DEFAULTS: Final = "defaults"
START: Final = 30.0
"""Seconds. A wait is counted with a pod's start added: below that, no scaling could do much about it."""


@dataclass(frozen=True, slots=True)
class Policy:
    """``values`` as below ``poolDefaults.scaling`` of the chart's values."""

    name: str
    values: Mapping[str, Any] = field(default_factory=dict)


TRUSTED: Final = 60
"""Seconds: only a minute after the last message was sent does SQS promise that its counts are right."""

OWN: Final = {
    "queueLength": 5,
    "pollingInterval": 30,
    "cooldownPeriod": 300,
    "scaleDown": {"percent": 100, "periodSeconds": 15, "stabilizationWindowSeconds": 300},
    "scaleUp": {"percent": 100, "pods": 4, "periodSeconds": 15, "stabilizationWindowSeconds": 0},
}

GUESS: Final = {
    "queueLength": 16,
    "pollingInterval": 15,
    "cooldownPeriod": 300,
    "scaleDown": {"percent": 10, "periodSeconds": 60, "stabilizationWindowSeconds": 300},
    "scaleUp": {"percent": 100, "pods": 4, "periodSeconds": 15, "stabilizationWindowSeconds": 0},
}
"""What the chart had before the study."""

POLICIES: Final = (
    Policy(DEFAULTS),
    *(Policy(f"queueLength {number}", {"queueLength": number}) for number in (4, 16, 32, 64)),
    *(Policy(f"cooldown {seconds} s", {"cooldownPeriod": seconds}) for seconds in (30, 300, 600)),
    *(
        Policy(f"scale-down window {seconds} s", {"scaleDown": {"stabilizationWindowSeconds": seconds}})
        for seconds in (0, 60, 300, 600)
    ),
    *(Policy(f"scale-down {percent} %", {"scaleDown": {"percent": percent}}) for percent in (10, 25, 50)),
    *(Policy(f"polling {seconds} s", {"pollingInterval": seconds}) for seconds in (15, 30, 60)),
    *(Policy(f"scale-up every {seconds} s", {"scaleUp": {"periodSeconds": seconds}}) for seconds in (15, 60, 180)),
    Policy("scale-up at once", {"scaleUp": {"percent": 900, "pods": 20, "periodSeconds": 15}}),
    Policy("scale-up window 60 s", {"scaleUp": {"stabilizationWindowSeconds": 60}}),
    Policy("queue age, 300 s", {"queueAge": {"enabled": True, "threshold": 300}}),
    Policy("in flight not counted", {"scaleOnInFlight": False}),
    Policy("one pod always", {"min": 1}),
    Policy("KEDA's and the HPA's own", OWN),
    Policy("the first guess", GUESS),
)
"""The defaults, each neighbour that differs in one thing, and two that are others altogether."""

DRAWN: Final = (DEFAULTS, "KEDA's and the HPA's own", "in flight not counted", "scale-down window 0 s")
"""The policies in the pictures: the defaults, and those that go wrong in ways of their own."""
FOR_DRAWN: Final = ("burst",)
"""Traces that only these run: it is long, and once there are the most pods, nothing differs. It is not scored."""

Table = dict[str, dict[str, Figures]]
"""By policy, then by trace."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a policy did: its waiting and money as multiples of the best's (geometric means over the traces)."""

    policy: str
    waiting: float
    money: float
    out: str
    """Why it can not win; empty if it can."""

    @property
    def score(self) -> float:
        return self.waiting * self.money


def changed(values: Mapping[str, Any]) -> Deployment:
    """Return what the chart installs by default, with its one pool scaled as ``values`` say."""
    deployment = _installed()
    [pool] = deployment.pools
    scaling = Scaling.model_validate(merged(pool.scaling.model_dump(by_alias=True), dict(values)))
    return deployment.model_copy(update={"pools": (pool.model_copy(update={"scaling": scaling}),)})


def run_policy(policy: Policy, trace: Trace) -> tuple[Figures, list[Sample]]:
    """Return the policy's figures over one trace, rounded as they are kept, and samples for the pictures."""
    figures, samples = measure(changed(policy.values), trace)
    return figures.rounded(), samples


def run_named(policy: str, trace: str) -> tuple[Figures, list[Sample]]:
    """Do the same by names: what a process of its own is told."""
    [found] = [one for one in POLICIES if one.name == policy]
    return run_policy(found, _trace(trace))


@cache
def _installed() -> Deployment:
    return from_chart([])


@lru_cache(maxsize=1)
def _trace(name: str) -> Trace:
    return TRACES[name]()


def standings(table: Table) -> list[Standing]:
    """Return the policies, the best first, those that are out last."""
    out = {policy: _why_out(policy, row.values()) for policy, row in table.items()}
    valid = [row for policy, row in table.items() if not out[policy]]
    traces = [name for name in valid[0] if all(name in row for row in table.values())]
    least = {name: (min(_wait(row[name]) for row in valid), min(row[name].pods for row in valid)) for name in traces}
    found = [
        Standing(
            policy,
            waiting=_mean([_wait(row[name]) / least[name][0] for name in traces]),
            money=_mean([row[name].pods / least[name][1] for name in traces]),
            out=out[policy],
        )
        for policy, row in table.items()
    ]
    return sorted(found, key=lambda one: (bool(one.out), one.score))


def _why_out(policy: str, row: Iterable[Figures]) -> str:
    figures = list(row)
    if any(one.harmed for one in figures):
        return "harms items"
    if any(one.cut_short for one in figures):
        return "cuts items short"
    values: Mapping[str, Any] = next((one.values for one in POLICIES if one.name == policy), {})
    scaling = changed(values).pools[0].scaling
    is_hasty = min(scaling.cooldown_period, scaling.scale_down.stabilization_window_seconds) <= TRUSTED
    return "believes young counts" if is_hasty else ""


def asked_of(policy: str) -> list[str]:
    """Return the traces that a policy runs."""
    return [trace for trace in TRACES if policy in DRAWN or trace not in FOR_DRAWN]


def to_json(table: Table) -> str:
    """Return the table with what it was made from: each policy's values whole, so that old figures show."""
    document = {
        "policies": {policy.name: dict(policy.values) for policy in POLICIES},
        "defaults": changed({}).pools[0].scaling.model_dump(by_alias=True, mode="json"),
        "traces": list(TRACES),
        "columns": [one.name for one in fields(Figures)],
        "figures": {
            policy: {trace: list(asdict(figures).values()) for trace, figures in row.items()}
            for policy, row in table.items()
        },
    }
    return _one_row_a_line(json.dumps(document))


def from_json(text: str) -> Table:
    """Return a table again."""
    document = json.loads(text)
    columns = document["columns"]
    return {
        policy: {trace: Figures(**dict(zip(columns, values, strict=True))) for trace, values in row.items()}
        for policy, row in document["figures"].items()
    }


def _one_row_a_line(text: str) -> str:
    return text.replace("], ", "],\n").replace('}, "', '},\n"') + "\n"


def _wait(figures: Figures) -> float:
    return figures.wait_95 + START


def _mean(ratios: Sequence[float]) -> float:
    return float(prod(ratio ** (1 / len(ratios)) for ratio in ratios))
