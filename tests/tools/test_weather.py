"""The weather tool against a stand-in of its provider."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from dev.emulator import Emulators
from shared.egress import Egress
from shared.tools.errors import ToolArgumentsError
from shared.tools.tool import Tool, ToolContext, ToolError
from shared.tools.weather import weather_tool
from tests.tools.context import context


@pytest.fixture(scope="module")
def _emulators() -> Iterator[Emulators]:
    with Emulators.start() as emulators:
        yield emulators


@pytest.fixture
def emulators(_emulators: Emulators) -> Iterator[Emulators]:
    yield _emulators
    _emulators.weather.clear()
    _emulators.weather.key = None


@pytest.fixture
async def http(emulators: Emulators) -> AsyncIterator[Egress]:
    egress = Egress([emulators.weather.url], development=True)
    yield egress
    await egress.close()


def weather(emulators: Emulators, key_name: str = "") -> Tool[..., Any]:
    return weather_tool(emulators.weather.url, emulators.weather.url + "/", key_name)


async def ask(tool: Tool[..., Any], given: ToolContext, **arguments: Any) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(await tool.run(json.dumps({"days": None, **arguments}), given))
    return answer


async def test_a_citys_weather_is_told_with_a_forecast(emulators: Emulators, http: Egress) -> None:
    told = await ask(weather(emulators), context(http=http), city="Berlin", days=2)
    assert told["place"] == "Berlin, State of Berlin, Germany"
    assert told["weather"] == "light rain"
    assert -40 < told["temperature"] < 50
    assert [day["weather"] for day in told["days"]] == ["light rain", "light showers"]
    assert told["days"][0]["lowest"] < told["days"][0]["highest"]


async def test_the_provider_is_asked_for_the_place_and_then_for_its_weather(emulators: Emulators, http: Egress) -> None:
    await ask(weather(emulators), context(http=http), city="São Paulo")
    search, forecast = emulators.weather.requests
    assert (search.path, search.query["name"]) == ("/v1/search", "São Paulo")
    assert forecast.path == "/v1/forecast"
    assert (forecast.query["latitude"], forecast.query["longitude"]) == ("-23.5475", "-46.63611")
    assert forecast.query["forecast_days"] == "3"
    assert "apikey" not in {**search.query, **forecast.query}


@pytest.mark.parametrize(
    ("city", "place"),
    [
        ("Paris", "Paris, Île-de-France, France"),
        ("Paris, Texas", "Paris, Texas, United States"),
        ("Paris, us", "Paris, Texas, United States"),
        ("London, Canada", "London, Ontario, Canada"),
        ("cape town", "Cape Town, Western Cape, South Africa"),
    ],
)
async def test_of_places_with_one_name_the_region_chooses(
    emulators: Emulators, http: Egress, city: str, place: str
) -> None:
    assert (await ask(weather(emulators), context(http=http), city=city))["place"] == place


async def test_an_unknown_city_is_told_to_the_model(emulators: Emulators, http: Egress) -> None:
    with pytest.raises(ToolError, match="No city of this name"):
        await ask(weather(emulators), context(http=http), city="Atlantis")


async def test_a_city_that_is_elsewhere_is_told_with_where_it_is(emulators: Emulators, http: Egress) -> None:
    with pytest.raises(ToolError, match=r"Known are: Paris, Île-de-France, France; Paris, Texas"):
        await ask(weather(emulators), context(http=http), city="Paris, Spain")


@pytest.mark.parametrize("arguments", [{"city": "B"}, {"city": "x" * 101}, {"city": "Berlin", "days": 0}, {"days": 3}])
async def test_arguments_out_of_bounds_reach_no_provider(
    emulators: Emulators, http: Egress, arguments: dict[str, Any]
) -> None:
    with pytest.raises(ToolArgumentsError):
        await ask(weather(emulators), context(http=http), **arguments)
    assert emulators.weather.requests == []


async def test_a_providers_key_comes_from_the_vault_and_goes_to_the_provider(
    emulators: Emulators, http: Egress
) -> None:
    emulators.weather.key = "canary-weather-key"
    given = context(http=http, secrets={"weather-key": "canary-weather-key"})
    assert (await ask(weather(emulators, "weather-key"), given, city="Tokyo"))["place"].startswith("Tokyo")
    assert [one.query["apikey"] for one in emulators.weather.requests] == ["canary-weather-key"] * 2


async def test_a_key_that_cannot_be_read_stops_the_tool_before_any_request(emulators: Emulators, http: Egress) -> None:
    with pytest.raises(ToolError, match="its key is not available"):
        await ask(weather(emulators, "weather-key"), context(http=http), city="Tokyo")
    assert emulators.weather.requests == []


@pytest.mark.parametrize(
    "step",
    [
        {"status": 401},
        {"status": 500},
        {"reset": "before"},
        {"body": "<html>"},
        {"body": '{"results": [{"name": "X"}]}'},
        {"status": 302, "headers": {"location": "http://127.0.0.1:1/"}},
    ],
    ids=str,
)
async def test_a_providers_failure_is_told_without_its_words_or_the_key(
    emulators: Emulators, http: Egress, step: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    emulators.weather.script_forever(step)
    given = context(http=http, secrets={"weather-key": "canary-weather-key"})
    with caplog.at_level(logging.DEBUG), pytest.raises(ToolError) as caught:
        await ask(weather(emulators, "weather-key"), given, city="Tokyo")
    assert str(caught.value).startswith("The weather service ")
    assert caught.value.__cause__ is None
    assert "canary" not in caplog.text + str(caught.value)


async def test_a_provider_that_is_asked_too_often_says_when_to_come_back(emulators: Emulators, http: Egress) -> None:
    emulators.weather.script({"status": 429})
    with pytest.raises(ToolError, match="Try again in a minute"):
        await ask(weather(emulators), context(http=http), city="Tokyo")


async def test_an_answer_that_makes_no_sense_is_not_passed_on(emulators: Emulators, http: Egress) -> None:
    emulators.weather.script({}, {"body": '{"current": {"temperature_2m": "warm"}, "daily": {}}'})
    with pytest.raises(ToolError, match="makes no sense"):
        await ask(weather(emulators), context(http=http), city="Tokyo")


async def test_the_tool_reaches_only_its_providers_addresses(emulators: Emulators) -> None:
    tool = weather(emulators)
    assert tool.origins == (emulators.weather.url, emulators.weather.url)
    elsewhere = Egress(development=True)
    with pytest.raises(Exception, match="not one that the tool may reach"):
        await ask(tool, context(http=elsewhere), city="Tokyo")
