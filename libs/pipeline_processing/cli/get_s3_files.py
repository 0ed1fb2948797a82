"""`pipeline-processing-get-s3-files`: the main job by its own name."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from pipeline_processing.arguments import typed_as
from pipeline_processing.cli.exits import guarded
from pipeline_processing.jobs.registry import discover

if TYPE_CHECKING:
    from collections.abc import Sequence

JOB_NAME: Final = "get_s3_files"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job inline in this process with its own arguments; return an exit code."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    with typed_as("pipeline-processing-get-s3-files"):
        return run(arguments)


def run(arguments: Sequence[str]) -> int:
    """Run the job under the name that it was called by."""
    return guarded(lambda: discover().entry(JOB_NAME).entrypoint(arguments))


if __name__ == "__main__":
    sys.exit(main())
