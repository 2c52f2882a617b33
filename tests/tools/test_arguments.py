"""What a model sends is checked, and what is wrong with it is told so that the model can mend it."""

from __future__ import annotations

import contextlib
import datetime as dt
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.tools.errors import ToolArgumentsError
from tests.tools.samples import Guest, Unit, book, defined, greet


def test_arguments_become_the_parameters_types() -> None:
    values = book.parse('{"day": "2026-05-01", "guests": [{"name": "Ada", "age": 36}], "unit": "imperial", "seats": 4}')
    assert values == {
        "day": dt.date(2026, 5, 1),
        "guests": [Guest(name="Ada", age=36)],
        "seats": 4,
        "note": None,
        "unit": Unit.IMPERIAL,
        "kind": "dinner",
    }


@pytest.mark.parametrize("missing", [{}, {"seats": None, "note": None, "unit": None, "kind": None}])
def test_null_and_absent_optional_arguments_take_the_default(missing: dict[str, None]) -> None:
    values = book.parse(json.dumps({"day": "2026-05-01", "guests": [], **missing}))
    assert (values["seats"], values["note"], values["unit"], values["kind"]) == (2, None, Unit.METRIC, "dinner")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("", "not valid JSON"),
        ('{"name": "A', "not valid JSON"),
        ('{"name": "\\ud800"}', "not valid JSON"),
        ("[" * 5000, "not valid JSON"),
        ("[]", "the arguments: Input should be an object"),
        ("null", "the arguments: Input should be an object"),
        ("{}", "name: Field required"),
        ('{"name": 7}', "name: Input should be a valid string"),
        ('{"name": "A", "nam": "B"}', "nam: Extra inputs are not permitted"),
        ('{"name": "A", "context": {}}', "context: Extra inputs are not permitted"),
    ],
)
def test_bad_arguments_are_explained_to_the_model(arguments: str, told: str) -> None:
    with pytest.raises(ToolArgumentsError) as caught:
        greet.parse(arguments)
    assert told in str(caught.value)


def test_an_explanation_names_the_path_of_each_field() -> None:
    with pytest.raises(ToolArgumentsError) as caught:
        book.parse('{"day": "soon", "guests": [{"name": "Ada", "age": "36"}], "seats": 21, "kind": "brunch"}')
    told = str(caught.value)
    assert "- day: " in told
    assert "- guests[0].age: Input should be a valid integer" in told
    assert "- seats: Input should be less than or equal to 20" in told
    assert "- kind: Input should be 'lunch' or 'dinner'" in told


@pytest.mark.parametrize(
    "arguments",
    [
        json.dumps({"name": 1, "x" * 90_000: 1}),
        json.dumps({f"key{number}": 1 for number in range(5000)}),
        json.dumps({"name": ["secret-value"] * 1000}),
        '{"name": "' + "a" * 1_000_000 + '"}',
        json.dumps({"name": "A", "name\ud800": 1}),
        '{"name": "\ud800"}',
    ],
    ids=["long key", "many keys", "wrong type", "a million characters", "escaped surrogate", "bare surrogate"],
)
def test_an_explanation_stays_short_and_repeats_no_value(arguments: str) -> None:
    with pytest.raises(ToolArgumentsError) as caught:
        greet.parse(arguments)
    assert len(str(caught.value)) < 2000
    assert "secret-value" not in str(caught.value)
    str(caught.value).encode()


def test_nan_is_no_number() -> None:
    with pytest.raises(ToolArgumentsError):
        defined(x=float).parse('{"x": NaN}')


@given(st.text())
def test_any_text_is_parsed_or_explained(arguments: str) -> None:
    with contextlib.suppress(ToolArgumentsError):
        assert set(book.parse(arguments)) == {"day", "guests", "seats", "note", "unit", "kind"}
