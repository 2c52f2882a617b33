"""What does Azure OpenAI's refusal mean?  A status, headers and a body in, one of this app's errors out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from shared import errors
from shared.azure.outcomes import retry_after

ROLE_LAG = 60.0
"""Seconds after which a missing role is worth another try: a new assignment takes some minutes to take effect."""


class Unsupported(errors.UpstreamRejected):
    """The deployment does not take a parameter, or only (`value`) not the value that it had."""

    def __init__(self, parameter: str, *, value: bool) -> None:
        super().__init__()
        self.parameter = parameter
        self.value = value


class ForeignReasoning(errors.UpstreamRejected):
    """The input holds encrypted reasoning that another resource made."""


def refusal(status: int, headers: Mapping[str, str], body: Any) -> errors.AppError:
    """The error that a response with this status stands for. Of `body` its code and parameter are read, never its text.

    `body` is the decoded JSON, with or without its outer `error`; anything else is taken for an empty one. A 404 that
    names a parameter is about an item of the caller's input ("Item with id ... not found"): if it counted against the
    deployment, any caller could take that out of service.
    """
    detail = body.get("error", body) if isinstance(body, dict) else {}
    detail = detail if isinstance(detail, dict) else {}
    code, parameter = (str(detail.get(name) or "") for name in ("code", "param"))
    match status:
        case 400 | 413 | 422 if code in ("content_filter", "content_policy_violation"):
            return errors.ContentFiltered()
        case 400 if code in ("unsupported_parameter", "unsupported_value"):
            return Unsupported(parameter, value=code == "unsupported_value")
        case 400 if code == "invalid_encrypted_content":
            return ForeignReasoning()
        case 401 if code == "PermissionDenied":
            return errors.UpstreamForbidden(retry_after=ROLE_LAG)
        case 401:
            return errors.UpstreamUnauthorized()
        case 403:
            return errors.UpstreamForbidden(retry_after=ROLE_LAG)
        case 404 if not parameter:
            return errors.DeploymentNotFound()
        case 408:
            return errors.UpstreamTimeout()
        case 429:
            return errors.RateLimited(retry_after=retry_after(headers, wall=time.time()))
    if 400 <= status < 500 and status != 409:
        return errors.UpstreamRejected()
    return errors.UpstreamUnavailable(retry_after=retry_after(headers, wall=time.time()))
