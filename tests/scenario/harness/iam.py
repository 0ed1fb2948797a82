"""As much of IAM as our policies use: documents with placeholders, and whether they allow a call.

What is not known here (``NotAction``, an operator of conditions, a policy variable) is refused when a document is read,
so that no statement is silently taken for another.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from functools import cache
from string import Template
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

_KEYS: Final = frozenset({"Sid", "Effect", "Principal", "Action", "Resource", "Condition"})
_OPERATORS: Final[Mapping[str, Callable[[str, str], bool]]] = {
    "StringEquals": lambda pattern, value: pattern == value,
    "StringLike": lambda pattern, value: bool(_wildcards(pattern).fullmatch(value)),
    "Bool": lambda pattern, value: pattern == value,
}
_IF_EXISTS: Final = "IfExists"

Part = tuple[str, str, str]
"""The policy, the statement's id, and one of its actions or resources."""


@dataclass(frozen=True, order=True)
class Need:
    """One permission that a request needs: ``context`` is what conditions may look at, by key."""

    action: str
    resource: str
    context: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Statement:
    """One statement of the policy ``policy``."""

    policy: str
    sid: str
    effect: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: tuple[tuple[str, str, tuple[str, ...]], ...] = field(default=())
    """Operator, key, values."""

    def parts_for(self, need: Need) -> list[Part]:
        """Return which of its parts speak of ``need``: none, unless action, resource and conditions fit."""
        actions = [name for name in self.actions if _wildcards(name.lower()).fullmatch(need.action.lower())]
        resources = [pattern for pattern in self.resources if _wildcards(pattern).fullmatch(need.resource)]
        if not actions or not resources or not all(_holds(it, dict(need.context)) for it in self.conditions):
            return []
        return [(self.policy, self.sid, part) for part in (*actions, *resources)]


@dataclass(frozen=True)
class Policy:
    """A document: an identity's policy, or a bucket's."""

    name: str
    statements: tuple[Statement, ...]

    @classmethod
    def load(cls, path: Path, values: Mapping[str, str]) -> Policy:
        """Read a document and fill its placeholders in; one without a value is a KeyError."""
        return cls.of(path.name, json.loads(Template(path.read_text()).substitute(values)))

    @classmethod
    def of(cls, name: str, document: Mapping[str, Any]) -> Policy:
        """Read a document; a ValueError names what this module does not understand."""
        if document["Version"] != "2012-10-17" or set(document) != {"Version", "Statement"}:
            raise ValueError(f"{name}: not a policy of version 2012-10-17")
        return cls(name, tuple(_statement(name, statement) for statement in document["Statement"]))

    def allowed(self) -> Iterator[Part]:
        """Yield each action and each resource of each statement that allows."""
        for statement in (statement for statement in self.statements if statement.effect == "Allow"):
            yield from ((self.name, statement.sid, part) for part in (*statement.actions, *statement.resources))

    def without(self, part: Part) -> Policy:
        """Return the policy without one action or resource of one statement."""
        name, sid, dropped = part
        return Policy(
            self.name,
            tuple(
                replace(
                    it,
                    actions=tuple(action for action in it.actions if action != dropped),
                    resources=tuple(resource for resource in it.resources if resource != dropped),
                )
                if (name, sid) == (self.name, it.sid)
                else it
                for it in self.statements
            ),
        )


def granting(policies: Iterable[Policy], need: Need) -> list[Part]:
    """Return the parts of statements that allow ``need``; nothing where it is denied.

    As in IAM: one Deny wins over every Allow, and without an Allow it is denied.
    """
    policies = tuple(policies)
    return [] if denying(policies, need) else _parts(policies, need, "Allow")


def denying(policies: Iterable[Policy], need: Need) -> list[Part]:
    """Return the parts of statements that forbid ``need``, whatever else allows it."""
    return _parts(policies, need, "Deny")


def _parts(policies: Iterable[Policy], need: Need, effect: str) -> list[Part]:
    statements = (statement for policy in policies for statement in policy.statements if statement.effect == effect)
    return [part for statement in statements for part in statement.parts_for(need)]


def _statement(policy: str, document: Mapping[str, Any]) -> Statement:
    sid = document.get("Sid", "")
    if strange := set(document) - _KEYS:
        raise ValueError(f"{policy} {sid}: {', '.join(sorted(strange))} is not understood here")
    if document["Effect"] not in {"Allow", "Deny"}:
        raise ValueError(f"{policy} {sid}: an effect is Allow or Deny")
    return Statement(
        policy,
        sid,
        document["Effect"],
        tuple(_listed(document["Action"])),
        tuple(_listed(document["Resource"])),
        tuple(_conditions(policy, document.get("Condition", {}))),
    )


def _conditions(
    policy: str, document: Mapping[str, Mapping[str, str | list[str]]]
) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    for operator, keys in document.items():
        if operator != "Null" and operator.removesuffix(_IF_EXISTS) not in _OPERATORS:
            raise ValueError(f"{policy}: the condition {operator} is not understood here")
        yield from ((operator, key, tuple(_listed(values))) for key, values in keys.items())


def _listed(value: str | list[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value


def _holds(condition: tuple[str, str, tuple[str, ...]], context: Mapping[str, str]) -> bool:
    operator, key, patterns = condition
    value = context.get(key)
    if operator == "Null":
        return patterns == (str(value is None).lower(),)
    if value is None:
        return operator.endswith(_IF_EXISTS)
    fits = _OPERATORS[operator.removesuffix(_IF_EXISTS)]
    return any(fits(pattern, value) for pattern in patterns)


@cache
def _wildcards(pattern: str) -> re.Pattern[str]:
    """Return IAM's wildcards as an expression: ``*`` is any text, slashes included, ``?`` one character."""
    if "${" in pattern:
        raise ValueError(f"{pattern}: policy variables are not understood here")
    return re.compile(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), re.DOTALL)
