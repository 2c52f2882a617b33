"""Which functions the emulated model calls, and the arguments it deduces."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai import AsyncOpenAI
from openai.types.responses import ResponseFunctionToolCall

TEXT = {"type": "string"}


def function(name: str, **properties: Any) -> dict[str, Any]:
    """A function with these required parameters."""
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "name": name, "parameters": parameters}


async def called(client: AsyncOpenAI, text: str, *tools: Any, **body: Any) -> dict[str, Any]:
    """The calls that a text leads to, as names and arguments."""
    response = await client.responses.create(model="gpt-4.1-mini", input=text, tools=tools, **body)
    calls = [item for item in response.output if isinstance(item, ResponseFunctionToolCall)]
    return {call.name: json.loads(call.arguments) for call in calls}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Weather in Paris?", "Paris"),
        ("weather in São Paulo.", "São Paulo"),
        ("the weather in rome, please", "rome"),
        ("weather in Europe/London", "Europe/London"),
        ('weather of "Big Ben"', "Big Ben"),
        ("Weathers!", "Weathers!"),
    ],
)
async def test_a_text_parameter_is_the_place_or_what_is_quoted_or_all(
    client: AsyncOpenAI, text: str, value: str
) -> None:
    assert await called(client, text, function("getWeather", city=TEXT)) == {"getWeather": {"city": value}}


async def test_each_function_takes_the_place_that_follows_its_topic(client: AsyncOpenAI) -> None:
    tools = function("get_weather", city=TEXT), function("current_time", zone=TEXT)
    assert await called(client, "In Rome, what is the time in Oslo and the weather in Bonn?", *tools) == {
        "get_weather": {"city": "Bonn"},
        "current_time": {"zone": "Oslo"},
    }


async def test_numbers_choices_and_the_rest_are_deduced_plainly(client: AsyncOpenAI) -> None:
    tool = function(
        "roll_dice",
        count={"type": "integer"},
        weight={"type": "number"},
        more={"type": "integer", "minimum": 7},
        colour={"enum": ["red", "blue"]},
        shape={"enum": ["cube", "ball"]},
        loud={"type": "boolean"},
        note={"type": ["string", "null"]},
        tags={"type": "array", "items": TEXT},
    )
    assert await called(client, "Roll 3 blue dice of 2.5 g", tool) == {
        "roll_dice": {
            "count": 3,
            "weight": 2.5,
            "more": 7,
            "colour": "blue",
            "shape": "cube",
            "loud": True,
            "note": "Roll 3 blue dice of 2.5 g",
            "tags": [],
        }
    }


async def test_a_function_that_is_only_a_verb_is_called_by_that_verb(client: AsyncOpenAI) -> None:
    assert list(await called(client, "list them", function("list"), function("get_weather"))) == ["list"]


async def test_nothing_is_called_that_the_text_does_not_name(client: AsyncOpenAI) -> None:
    assert await called(client, "Hello", function("get_weather", city=TEXT)) == {}


async def test_the_tool_choice_decides(client: AsyncOpenAI) -> None:
    tools = function("get_weather"), function("current_time")
    assert await called(client, "weather", *tools, tool_choice="none") == {}
    assert list(await called(client, "Hello", *tools, tool_choice="required")) == ["get_weather"]
    assert list(await called(client, "the time", *tools, tool_choice="required")) == ["current_time"]
    named = {"type": "function", "name": "current_time"}
    assert list(await called(client, "weather", *tools, tool_choice=named)) == ["current_time"]


async def test_one_at_a_time_when_not_parallel(client: AsyncOpenAI) -> None:
    tools = function("get_weather"), function("current_time")
    assert list(await called(client, "weather and time", *tools, parallel_tool_calls=False)) == ["get_weather"]


async def test_other_kinds_of_tools_are_ignored(client: AsyncOpenAI) -> None:
    assert await called(client, "search the web", {"type": "web_search"}) == {}
