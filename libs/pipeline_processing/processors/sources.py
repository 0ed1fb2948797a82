"""What an error of the store says about the source file that met it; the error's message is the reason."""

from __future__ import annotations

from typing import Literal

from etl_core.errors import AccessDenied, Archived, NotFound, PreconditionFailed

Lost = Literal["missing", "changed", "archived", "denied"]


def lost_by(error: Exception) -> Lost | None:
    """Return the status of a source that the store did not give as it was planned; None for any other error."""
    match error:
        case NotFound():
            return "missing"
        case PreconditionFailed():
            return "changed"
        case Archived():
            return "archived"
        case AccessDenied():
            return "denied"
        case _:
            return None
