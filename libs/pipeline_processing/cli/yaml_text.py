"""YAML that every parser reads alike: texts that one of them might take for something else are quoted."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

_PLAIN: Final = re.compile(r"[A-Za-z/][A-Za-z0-9./_-]*[A-Za-z0-9]")
"""Texts that are none but texts: without a digit in front (1e3 is a number to Kubernetes), longer than y and n."""


class _Dumper(yaml.SafeDumper):
    """Indents lists under their keys, knows no references, and quotes texts that are not plainly so."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - the base's signature
        super().increase_indent(flow, False)  # noqa: FBT003 - the base takes it by position

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ANN401, ARG002 - the base's signature
        return True


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    # What is plain here and a word of YAML (`no`, `null`) is quoted by the emitter.
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if _PLAIN.fullmatch(text) else '"')


_Dumper.add_representer(str, _text)


def yaml_text(document: Mapping[str, Any]) -> str:
    """Return ``document`` as YAML, in its own order."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=2**16)
