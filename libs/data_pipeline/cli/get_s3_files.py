"""`data-pipeline-get-s3-files`: the old name of `pipeline-processing-get-s3-files`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pipeline_processing.cli.get_s3_files import main as get_s3_files

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Say the new name on stderr and run it."""
    print("deprecated: data-pipeline-get-s3-files is now called pipeline-processing-get-s3-files", file=sys.stderr)
    return get_s3_files(argv)


if __name__ == "__main__":
    sys.exit(main())
