"""What one call to a deployment can come to, and how an upstream answer says so."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum

from shared.errors import (
    AppError,
    DeploymentNotFound,
    RateLimited,
    UpstreamError,
    UpstreamForbidden,
    UpstreamInterrupted,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnauthorized,
)
from shared.models import Deployment


class Kind(StrEnum):
    """The ways in which a call fails before its first event (`INTERRUPTED` also after it)."""

    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    TIMEOUT = "timeout"
    CONNECT_ERROR = "connect_error"
    RESET = "reset"
    INTERRUPTED = "interrupted"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    BAD_REQUEST = "bad_request"


_KINDS: dict[type[UpstreamError], Kind] = {
    RateLimited: Kind.RATE_LIMITED,
    UpstreamTimeout: Kind.TIMEOUT,
    UpstreamInterrupted: Kind.INTERRUPTED,
    UpstreamUnauthorized: Kind.UNAUTHORIZED,
    UpstreamForbidden: Kind.FORBIDDEN,
    DeploymentNotFound: Kind.NOT_FOUND,
    UpstreamRejected: Kind.BAD_REQUEST,
}


class AttemptFailed(Exception):
    """One call failed. `retry_after` is in seconds; `error` is raised instead of this for a bad request.

    It holds no upstream text, so that it may be logged.
    """

    def __init__(
        self,
        kind: Kind,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        error: AppError | None = None,
    ) -> None:
        super().__init__(kind.value)
        self.kind = kind
        self.status = status
        self.retry_after = retry_after
        self.error = error

    @classmethod
    def of(cls, error: UpstreamError) -> AttemptFailed:
        """The failure that one of the app's own errors stands for."""
        kind = next((kind for one, kind in _KINDS.items() if isinstance(error, one)), Kind.SERVER_ERROR)
        return cls(kind, retry_after=error.retry_after, error=error if kind is Kind.BAD_REQUEST else None)


@dataclass(frozen=True, slots=True)
class AttemptReport:
    """One call to a deployment, for logs and metrics.

    `outcome` is "ok", a `Kind`, "cancelled" (the caller left) or "error" (our own); `ms` is the time to the
    first event or to the failure, `waited_ms` what the request had waited in the pool before this call.
    """

    model: str
    deployment: Deployment
    outcome: str
    status: int | None
    ms: float
    waited_ms: float
    number: int
    probe: bool
    crossed: bool


@dataclass(frozen=True, slots=True)
class HealthChange:
    """A deployment was taken out of service (`state` names why) or came back ("ok")."""

    deployment: Deployment
    state: str
    seconds: float


Report = AttemptReport | HealthChange


def retry_after(headers: Mapping[str, str], *, wall: float) -> float | None:
    """Read how many seconds to wait: `retry-after-ms`, else `retry-after` in seconds or as a date (RFC 9110).

    `headers` has lower-case names; `wall` is the time now in seconds since the epoch, used for a date when
    the answer has no `date` of its own. What cannot be read is None.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return max(0.0, milliseconds / 1000)
    value = headers.get("retry-after")
    seconds = _number(value)
    if seconds is None:
        until = _date(value)
        seconds = None if until is None else until - (_date(headers.get("date")) or wall)
    return None if seconds is None else max(0.0, seconds)


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _date(value: str | None) -> float | None:
    try:
        return parsedate_to_datetime(value or "").timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
