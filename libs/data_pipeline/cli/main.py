"""`data-pipeline`: the old name of `pipeline-processing`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pipeline_processing.cli.main import main as pipeline_processing

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Say the new name on stderr and run it."""
    print("deprecated: data-pipeline is now called pipeline-processing", file=sys.stderr)
    return pipeline_processing(argv)


if __name__ == "__main__":
    sys.exit(main())
