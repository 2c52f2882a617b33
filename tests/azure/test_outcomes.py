"""What one call can come to, read from an upstream answer."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.azure.outcomes import AttemptFailed, Kind, retry_after
from shared.azure.refusal import refusal
from shared.errors import UpstreamError

NOON = 1_792_324_800.0


def kind_of(status: int, **error: str | None) -> Kind | None:
    """What the pool makes of a refusal; None for what it leaves to the caller without counting it."""
    refused = refusal(status, {}, {"error": error})
    return AttemptFailed.of(refused).kind if isinstance(refused, UpstreamError) else None


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (307, None, Kind.SERVER_ERROR),
        (400, "content_filter", None),
        (400, "unsupported_parameter", Kind.BAD_REQUEST),
        (400, "invalid_encrypted_content", Kind.BAD_REQUEST),
        (401, None, Kind.UNAUTHORIZED),
        (401, "PermissionDenied", Kind.FORBIDDEN),
        (403, None, Kind.FORBIDDEN),
        (404, "DeploymentNotFound", Kind.NOT_FOUND),
        (408, None, Kind.TIMEOUT),
        (409, None, Kind.SERVER_ERROR),
        (413, None, Kind.BAD_REQUEST),
        (431, None, Kind.BAD_REQUEST),
        (429, None, Kind.RATE_LIMITED),
        (500, None, Kind.SERVER_ERROR),
        (503, None, Kind.SERVER_ERROR),
    ],
)
def test_a_status_and_its_code_tell_the_kind(status: int, code: str | None, kind: Kind | None) -> None:
    assert kind_of(status, code=code) is kind


def test_a_404_about_an_item_in_the_callers_input_is_a_bad_request() -> None:
    assert kind_of(404, param="input") is Kind.BAD_REQUEST


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "9"}, 9.0),
        ({"retry-after": "86400"}, 86_400.0),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after-ms": "soon", "retry-after": "2"}, 2.0),
        ({"retry-after": "Sun, 18 Oct 2026 12:00:30 GMT"}, 30.0),
        ({"retry-after": "Sun, 18 Oct 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "Sun, 18 Oct 2026 12:00:30 GMT", "date": "Sun, 18 Oct 2026 12:00:20 GMT"}, 10.0),
        ({"retry-after": "nan"}, None),
        ({"retry-after-ms": "1e999"}, None),
        ({"retry-after": "tomorrow"}, None),
    ],
)
def test_the_time_to_wait_is_read_in_each_of_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, wall=NOON) == seconds


@given(st.dictionaries(st.sampled_from(["retry-after-ms", "retry-after", "date"]), st.text()))
def test_whatever_the_headers_say_the_wait_is_nothing_or_a_number_of_seconds(headers: dict[str, str]) -> None:
    seconds = retry_after(headers, wall=NOON)
    assert seconds is None or (math.isfinite(seconds) and seconds >= 0)
