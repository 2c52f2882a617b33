"""A local stand-in of Open-Meteo: its geocoding and its forecast, with weather that depends on the place
alone.

Protocol: https://open-meteo.com/en/docs and https://open-meteo.com/en/docs/geocoding-api.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from dev.emulator.script import Faults
from dev.emulator.service import Exchange, Recorded, Service


@dataclass(frozen=True)
class City:
    """A place that the geocoding knows. `population` ranks places of one name."""

    name: str
    admin1: str
    country: str
    country_code: str
    latitude: float
    longitude: float
    timezone: str
    population: int


CITIES = (
    City("Berlin", "State of Berlin", "Germany", "DE", 52.52437, 13.41053, "Europe/Berlin", 3426354),
    City("Cape Town", "Western Cape", "South Africa", "ZA", -33.92584, 18.42322, "Africa/Johannesburg", 4772846),
    City("London", "England", "United Kingdom", "GB", 51.50853, -0.12574, "Europe/London", 8961989),
    City("London", "Ontario", "Canada", "CA", 42.98339, -81.23304, "America/Toronto", 422324),
    City("New York", "New York", "United States", "US", 40.71427, -74.00597, "America/New_York", 8804190),
    City("Paris", "Île-de-France", "France", "FR", 48.85341, 2.3488, "Europe/Paris", 2138551),
    City("Paris", "Texas", "United States", "US", 33.66094, -95.55551, "America/Chicago", 24782),
    City("São Paulo", "São Paulo", "Brazil", "BR", -23.5475, -46.63611, "America/Sao_Paulo", 12400232),
    City("Tokyo", "Tokyo", "Japan", "JP", 35.6895, 139.69171, "Asia/Tokyo", 9733276),
)

CURRENT = {
    "temperature_2m": "°C",
    "apparent_temperature": "°C",
    "relative_humidity_2m": "%",
    "precipitation": "mm",
    "weather_code": "wmo code",
    "wind_speed_10m": "km/h",
}
DAILY = {
    "weather_code": "wmo code",
    "temperature_2m_max": "°C",
    "temperature_2m_min": "°C",
    "precipitation_probability_max": "%",
}
CODES = (0, 2, 3, 61, 80)


class WeatherEmulator(Service[Faults]):
    """Both of the provider's hosts in one. With a `key`, it is the one for customers and wants it as `apikey`."""

    def __init__(self) -> None:
        super().__init__(Faults)
        self.key: str | None = None

    async def answer(self, exchange: Exchange) -> web.StreamResponse:
        """Answer one request, or as the script says."""
        step = self._script.next()
        await self.obstruct(exchange, step)
        if step.body is not None:
            return web.Response(status=step.status or 200, text=step.body, headers=step.headers)
        if step.status is not None and step.status != 200:
            return web.json_response({"error": True, "reason": "Scripted."}, status=step.status, headers=step.headers)
        recorded = exchange.recorded
        if self.key is not None and recorded.query.get("apikey") != self.key:
            return _refused("The supplied API key is invalid.")
        match recorded.method, recorded.path:
            case "GET", "/v1/search":
                return _places(recorded)
            case "GET", "/v1/forecast":
                return self._forecast(recorded)
        return web.json_response({"error": True, "reason": "Not Found"}, status=404)

    def _forecast(self, recorded: Recorded) -> web.Response:
        try:
            latitude, longitude = (float(recorded.query[name]) for name in ("latitude", "longitude"))
            count = int(recorded.query.get("forecast_days", 7))
        except (KeyError, ValueError):
            return _refused("Parameter 'latitude' and 'longitude' must have the same number of elements")
        current = [name for name in recorded.query.get("current", "").split(",") if name]
        daily = [name for name in recorded.query.get("daily", "").split(",") if name]
        for name in current + daily:
            if name not in (CURRENT if name in current else DAILY):
                return _refused(
                    f"Data corrupted at path ''. Cannot initialize Variable from invalid String value {name}."
                )
        if not 0 <= count <= 16:
            return _refused("Forecast days is invalid. Allowed range 0 to 16.")
        today = dt.datetime.fromtimestamp(self.clock(), dt.UTC)
        warm = round(28 - abs(latitude) / 2.5, 1)
        now = {
            "temperature_2m": warm,
            "apparent_temperature": warm - 1.5,
            "relative_humidity_2m": 60,
            "precipitation": 0.0,
            "weather_code": CODES[int(abs(longitude)) % len(CODES)],
            "wind_speed_10m": 12.5,
        }
        days: dict[str, list[Any]] = {
            "weather_code": [CODES[(int(abs(longitude)) + day) % len(CODES)] for day in range(count)],
            "temperature_2m_max": [warm + 2 + day for day in range(count)],
            "temperature_2m_min": [warm - 6 - day for day in range(count)],
            "precipitation_probability_max": [10 * day for day in range(count)],
        }
        dates = [(today + dt.timedelta(days=day)).date().isoformat() for day in range(count)]
        answer = {
            "latitude": latitude,
            "longitude": longitude,
            "generationtime_ms": 0.1,
            "utc_offset_seconds": 0,
            "timezone": "GMT",
            "timezone_abbreviation": "GMT",
            "elevation": 38.0,
            "current_units": {
                "time": "iso8601",
                "interval": "seconds",
                **{name: CURRENT[name] for name in current},
            },
            "current": {
                "time": f"{today:%Y-%m-%dT%H:%M}",
                "interval": 900,
                **{name: now[name] for name in current},
            },
            "daily_units": {"time": "iso8601", **{name: DAILY[name] for name in daily}},
            "daily": {"time": dates, **{name: days[name] for name in daily}},
        }
        return web.json_response(answer)


def _places(recorded: Recorded) -> web.Response:
    """Places of exactly that name (the real service is more lenient), the best known first."""
    asked = recorded.query.get("name", "").casefold()
    found = sorted((city for city in CITIES if city.name.casefold() == asked), key=lambda city: -city.population)
    count = int(recorded.query.get("count", 10))
    answer: dict[str, Any] = {"generationtime_ms": 0.1}
    if found:  # the real service leaves the member out when there is nothing to put in
        answer["results"] = [{"id": CITIES.index(city) + 1, **vars(city)} for city in found[:count]]
    return web.json_response(answer)


def _refused(reason: str) -> web.Response:
    return web.json_response({"error": True, "reason": reason}, status=400)
