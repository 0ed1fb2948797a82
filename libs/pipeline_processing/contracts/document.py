"""A contract's YAML, read with bounds: no duplicate keys, no expansion bombs, no surprising types.

Scalars follow YAML 1.2's core schema: only ``true`` and ``false`` are Booleans (``NO`` and ``Y`` stay texts) and dates
stay texts, as in JSON.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, cast

import yaml

from pipeline_processing.contracts.faults import ContractError, Fault

if TYPE_CHECKING:
    from collections.abc import Hashable

    from pipeline_processing.model import Json

MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 40
MAX_NODES: Final = 100_000
"""Nodes of the document with every alias written out."""


class _Loader(yaml.SafeLoader):
    """Safe, and strict about what a person would not see."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - as the base has it

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: object) -> yaml.Node | None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _Refused(f"nested deeper than {MAX_DEPTH} levels", self.get_mark())
        try:
            return super().compose_node(parent, index)  # type: ignore[arg-type] # any index
        finally:
            self._depth -= 1

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Json]:  # noqa: FBT001, FBT002 - the base's signature
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _Refused("a key that is no text", key.start_mark)
            if key.value in seen:
                raise _Refused(f"the key {key.value!r} stands twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver("tag:yaml.org,2002:merge", re.compile(r"^<<$"), ["<"])
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?(0|[1-9][0-9]*)$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?$|^[-+]?[0-9]+[eE][-+]?[0-9]+$"),
    list("-+0123456789."),
)


class _Refused(yaml.MarkedYAMLError):
    def __init__(self, what: str, mark: yaml.Mark | None) -> None:
        super().__init__(problem=what, problem_mark=mark)


def parse(text: str, *, source: str) -> dict[str, Json]:
    """Return the document as JSON would have it; ContractError where it is no such document."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise _error(f"larger than {MAX_BYTES:,} bytes", "a contract is one document about a few tables", source)
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is not None:
                _measured(node)
            document = None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ContractError([Fault(place, error.problem or "this is not YAML")], where=source) from error
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise _error(f"this is not YAML: {str(error).splitlines()[0]}", "", source) from error
    if not isinstance(document, dict):
        raise _error("this is no contract: a mapping was expected", "it begins with apiVersion: v3.1.0", source)
    _plain(document, source)
    return cast("dict[str, Json]", document)


def _measured(root: yaml.Node) -> None:
    sizes: dict[int, int] = {}

    def size(node: yaml.Node) -> int:
        known = sizes.get(id(node))
        if known == -1:
            raise _Refused("an alias that holds itself", node.start_mark)
        if known is not None:
            return known
        sizes[id(node)] = -1
        total = 1
        if isinstance(node, yaml.SequenceNode):
            total += sum(size(child) for child in node.value)
        elif isinstance(node, yaml.MappingNode):
            total += sum(size(key) + size(value) for key, value in node.value)
        sizes[id(node)] = total
        if total > MAX_NODES:
            raise _Refused(f"more than {MAX_NODES:,} values, aliases written out", node.start_mark)
        return total

    size(root)


def _plain(value: Json, source: str, place: str = "") -> None:
    """Refuse what JSON can not say: binary, sets, keys that are no texts."""
    if isinstance(value, dict):
        for key, child in value.items():
            if not isinstance(key, str):
                raise _error(f"the key {key!r} is no text", "quote it", source, place)
            _plain(child, source, f"{place}.{key}" if place else key)
    elif isinstance(value, list):
        for index, child in enumerate(value):
            _plain(child, source, f"{place}[{index}]")
    elif not (value is None or isinstance(value, str | int | float | bool)):
        raise _error(f"a value of type {type(value).__name__}", "use text, numbers, true, false", source, place)
    elif isinstance(value, int | float) and not -(2**63) <= value < 2**63:
        raise _error("a number that 64 bits do not hold", "quote it, where it is a text", source, place)


def _error(what: str, way_out: str, source: str, place: str = "") -> ContractError:
    return ContractError([Fault(place, what, way_out)], where=source)


class _Dumper(yaml.SafeDumper):
    """Quotes what `parse` would take for a number, though YAML 1.1 does not."""


_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def dump(document: Json) -> str:
    """Return the YAML that `parse` reads back as ``document``; short lists and mappings stand on one line."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110, default_flow_style=None)
