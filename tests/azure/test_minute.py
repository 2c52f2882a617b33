from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.azure.minute import Minute, RateLimits


def read(**headers: str) -> RateLimits:
    return RateLimits.read({f"x-ratelimit-{name.replace('_', '-')}": value for name, value in headers.items()})


def test_the_headers_of_an_answer_are_read() -> None:
    limits = read(remaining_tokens="1200", remaining_requests="9", reset_tokens="6m0s", reset_requests="120ms")
    assert limits == RateLimits(1200, 9, 360.0, 0.12)


@pytest.mark.parametrize(
    "headers",
    [
        {"remaining_tokens": "-1", "limit_tokens": "-1", "reset_tokens": "0"},
        {"remaining_tokens": "0", "limit_tokens": "0"},
        {"remaining_tokens": "many"},
        {"remaining_tokens": "9" * 40},
        {},
    ],
)
def test_headers_that_make_no_sense_say_nothing(headers: dict[str, str]) -> None:
    assert read(**headers) == RateLimits(None, None, None, None)


@pytest.mark.parametrize(
    ("text", "seconds"), [("1s", 1.0), ("10", 10.0), ("1m30.5s", 90.5), ("1h0m0s", 3600.0), ("?", None)]
)
def test_a_reset_is_read_in_each_of_its_forms(text: str, seconds: float | None) -> None:
    assert read(reset_tokens=text).tokens_reset == seconds


@given(st.text(), st.text(), st.text())
def test_any_text_in_the_headers_is_survived(left: str, limit: str, reset: str) -> None:
    limits = read(remaining_tokens=left, limit_tokens=limit, reset_tokens=reset)
    assert limits.tokens is None or limits.tokens >= 0
    assert limits.tokens_reset is None or limits.tokens_reset > 0


def test_a_deployment_without_limits_has_all_of_its_minute_left() -> None:
    assert Minute(None, None).left(0.0) == (math.inf, math.inf, 1.0)


def test_what_was_sent_is_used_up_until_the_minute_turns() -> None:
    minute = Minute(1000, 10)
    minute.spend(1.0, 400)
    assert minute.left(2.0) == (600, 9, 0.6)
    assert minute.left(60.0) == (1000, 10, 1.0)


def test_a_call_is_corrected_by_what_it_really_used_within_its_minute() -> None:
    minute = Minute(1000, None)
    sent_in = minute.spend(1.0, 400)
    assert minute.correct(5.0, sent_in, -300)
    assert minute.left(5.0).tokens == 900
    assert not minute.correct(65.0, sent_in, -300)
    assert minute.left(65.0).tokens == 1000


def test_an_answers_headers_count_more_than_our_own_sum_and_are_forgotten_after_their_time() -> None:
    minute = Minute(1000, None)
    minute.observe(1.0, RateLimits(50, None, None, None))
    assert minute.left(2.0).tokens == 50
    minute.spend(3.0, 20)
    assert minute.left(4.0).tokens == 30
    assert minute.left(61.5).tokens == 1000


def test_the_requests_that_azure_shows_are_those_of_ten_seconds() -> None:
    minute = Minute(None, 120)
    minute.observe(1.0, RateLimits(None, 0, None, None))
    assert minute.left(10.0).requests == 0
    assert minute.left(11.5).requests == 120


def test_what_other_workers_sent_is_used_up_too() -> None:
    minute = Minute(1000, 10)
    minute.others(5.0, 0, 4, 700)
    assert minute.left(6.0) == (300, 6, 0.3)
    minute.others(7.0, 99, 1, 1)
    assert minute.left(8.0) == (300, 6, 0.3)
    assert minute.left(60.0).tokens == 1000
