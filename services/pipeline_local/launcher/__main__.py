"""Run as a script by the endpoint's own interpreter, without the product: loads this package by its path."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path


def load_package() -> None:
    """Make ``pipeline_local`` importable without its neighbours, the product's whole environment."""
    folder = Path(__file__).resolve().parent.parent
    spec = importlib.util.spec_from_file_location(
        folder.name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"no package at {folder}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[folder.name] = module
    spec.loader.exec_module(module)


if __name__ == "__main__":
    load_package()
    importlib.import_module("pipeline_local.launcher.server").main(sys.argv[1:])
