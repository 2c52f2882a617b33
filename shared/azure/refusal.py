"""What does Azure OpenAI's refusal mean?  A status, headers and a body in, one of this app's errors out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared import errors

LONGEST_WAIT = 7 * 24 * 3600.0
"""Seconds; what asks for more is not meant."""

ROLE_LAG = 60.0
"""Seconds after which a missing role is worth another try: a new assignment takes some minutes to take effect."""


def refusal(status: int, headers: Mapping[str, str], body: Any) -> errors.AppError:
    """The error that a response with this status stands for. Of `body` only the code is read, never its text.

    `body` is the decoded JSON, with or without its outer `error`; anything else is taken for an empty one.
    """
    detail = body.get("error", body) if isinstance(body, dict) else {}
    code = str(detail.get("code") or "") if isinstance(detail, dict) else ""
    match status:
        case 400 | 413 | 422 if code in ("content_filter", "content_policy_violation"):
            return errors.ContentFiltered()
        case 400 | 413 | 415 | 422:
            return errors.UpstreamRejected()
        case 401 if code == "PermissionDenied":
            return errors.UpstreamForbidden(retry_after=ROLE_LAG)
        case 401:
            return errors.UpstreamUnauthorized()
        case 403:
            return errors.UpstreamForbidden(retry_after=ROLE_LAG)
        case 404:
            return errors.DeploymentNotFound()
        case 408:
            return errors.UpstreamTimeout()
        case 429:
            return errors.RateLimited(retry_after=retry_after(headers))
    return errors.UpstreamUnavailable(retry_after=retry_after(headers))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds that `retry-after-ms` or else `retry-after` asks for, or None. A date is not understood."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * unit
        except ValueError:
            continue
        if 0 <= seconds <= LONGEST_WAIT:
            return seconds
    return None
