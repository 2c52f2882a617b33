"""The stand-in of the public forecast service answers as that service does."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from dev.emulator import Emulators

PARIS = {"latitude": "48.85", "longitude": "2.35"}


async def ask(emulators: Emulators, path: str, **query: str) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as http, http.get(emulators.weather.url + path, params=query) as answer:
        return answer.status, await answer.json()


async def test_places_of_a_name_come_the_best_known_first(emulators: Emulators) -> None:
    _, found = await ask(emulators, "/v1/search", name="paris")
    assert [place["country_code"] for place in found["results"]] == ["FR", "US"]
    _, found = await ask(emulators, "/v1/search", name="paris", count="1")
    assert len(found["results"]) == 1


async def test_for_an_unknown_place_there_is_no_list_at_all(emulators: Emulators) -> None:
    assert (await ask(emulators, "/v1/search", name="Atlantis"))[1].keys() == {"generationtime_ms"}


async def test_a_forecast_has_what_was_asked_for_and_no_more(emulators: Emulators) -> None:
    _, found = await ask(
        emulators, "/v1/forecast", **PARIS, current="temperature_2m", daily="weather_code", forecast_days="2"
    )
    assert found["current"].keys() == {"time", "interval", "temperature_2m"}
    assert found["daily"].keys() == {"time", "weather_code"}
    assert len(found["daily"]["time"]) == len(found["daily"]["weather_code"]) == 2


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("/v1/forecast", {}, 400),
        ("/v1/forecast", {**PARIS, "current": "happiness"}, 400),
        ("/v1/forecast", {**PARIS, "forecast_days": "17"}, 400),
        ("/v1/history", PARIS, 404),
    ],
)
async def test_a_request_that_makes_no_sense_is_told_why(
    emulators: Emulators, path: str, query: dict[str, str], status: int
) -> None:
    answered, body = await ask(emulators, path, **query)
    assert (answered, body["error"]) == (status, True)
    assert body["reason"]


async def test_a_customers_host_wants_the_customers_key(emulators: Emulators) -> None:
    emulators.weather.key = "right"
    assert (await ask(emulators, "/v1/search", name="Paris", apikey="wrong"))[0] == 400
    assert (await ask(emulators, "/v1/search", name="Paris", apikey="right"))[0] == 200


async def test_faults_are_scripted_as_on_every_emulator(emulators: Emulators) -> None:
    emulators.weather.script({"status": 429}, {"body": "{}"})
    assert (await ask(emulators, "/v1/search", name="Paris"))[0] == 429
    async with aiohttp.ClientSession() as http, http.get(f"{emulators.weather.url}/v1/search") as answer:
        assert await answer.text() == "{}"
