"""What is the weather in a city?  Asked of Open-Meteo, or of anything that speaks its protocol.

Protocol: https://open-meteo.com/en/docs and https://open-meteo.com/en/docs/geocoding-api. The public hosts need no key
and are free for non-commercial use; paying customers have hosts of their own, which want the query parameter `apikey`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field, ValidationError

from shared.azure.keyvault import SecretUnavailable
from shared.egress import EgressFailed, Query
from shared.tools.tool import Tool, ToolContext, ToolError, tool

CODES = {
    0: "clear sky",
    1: "mainly clear",
    2: "partly cloudy",
    3: "overcast",
    45: "fog",
    48: "rime fog",
    51: "light drizzle",
    53: "drizzle",
    55: "dense drizzle",
    56: "light freezing drizzle",
    57: "freezing drizzle",
    61: "light rain",
    63: "rain",
    65: "heavy rain",
    66: "light freezing rain",
    67: "freezing rain",
    71: "light snow",
    73: "snow",
    75: "heavy snow",
    77: "snow grains",
    80: "light showers",
    81: "showers",
    82: "violent showers",
    85: "light snow showers",
    86: "snow showers",
    95: "thunderstorm",
    96: "thunderstorm with hail",
    99: "thunderstorm with heavy hail",
}
"""The World Meteorological Organization's codes of the weather, as far as the provider uses them."""

Name = Annotated[str, Field(max_length=200)]
Shape = TypeVar("Shape", bound=BaseModel)


class _Place(BaseModel):
    name: Name
    latitude: float = Field(ge=-90, le=90)
    longitude: float = Field(ge=-180, le=180)
    admin1: Name | None = None
    country: Name | None = None
    country_code: Name | None = None

    def __str__(self) -> str:
        return ", ".join(part for part in (self.name, self.admin1, self.country) if part)

    def matches(self, region: str) -> bool:
        """Whether it lies in a region or country."""
        names = (self.admin1, self.country, self.country_code)
        return region.casefold() in {name.casefold() for name in names if name}


class _Places(BaseModel):
    results: list[_Place] = []


class _Current(BaseModel):
    time: Name
    temperature_2m: float
    apparent_temperature: float
    relative_humidity_2m: float
    precipitation: float
    wind_speed_10m: float
    weather_code: int


class _Daily(BaseModel):
    time: list[Name]
    weather_code: list[int | None]
    temperature_2m_min: list[float | None]
    temperature_2m_max: list[float | None]
    precipitation_probability_max: list[float | None]


class _Answer(BaseModel):
    current: _Current
    daily: _Daily


@dataclass(frozen=True, slots=True)
class Day:
    """One day's forecast, in degrees Celsius and percent."""

    date: str
    weather: str
    lowest: float | None
    highest: float | None
    chance_of_rain: float | None


@dataclass(frozen=True, slots=True)
class Forecast:
    """The weather at a place, in degrees Celsius, percent, millimetres and kilometres an hour."""

    place: str
    time: str
    weather: str
    temperature: float
    feels_like: float
    humidity: float
    precipitation: float
    wind: float
    days: list[Day]


def weather_tool(forecast_url: str, geocoding_url: str, key_name: str = "") -> Tool[..., Any]:
    """The weather tool for a provider at these addresses.

    `key_name` is the Key Vault secret that holds the provider's key; empty means that it wants none.
    """
    forecast, geocoding = forecast_url.rstrip("/"), geocoding_url.rstrip("/")

    @tool(origins=(forecast, geocoding))
    async def weather(
        city: Annotated[str, Field(min_length=2, max_length=100)],
        context: ToolContext,
        days: Annotated[int, Field(ge=1, le=7)] = 3,
    ) -> Forecast:
        """Tells the weather in a city now, and the forecast for the next days. Metric units.

        Args:
            city: The city's name, with its region or country after a comma if needed, as in "Paris, Texas".
            days: For how many days, today included.
        """
        key = await _key(context, key_name)
        name, _, region = (part.strip() for part in city.partition(","))
        search: Query = {"name": name, "count": 10, "language": "en", "format": "json", **key}
        found = await _get(context, f"{geocoding}/v1/search", search, _Places)
        place = _chosen(found.results, region)
        query: Query = {
            "latitude": place.latitude,
            "longitude": place.longitude,
            "current": ",".join(field for field in _Current.model_fields if field != "time"),
            "daily": ",".join(field for field in _Daily.model_fields if field != "time"),
            "timezone": "auto",
            "forecast_days": days,
            **key,
        }
        return _forecast(place, await _get(context, f"{forecast}/v1/forecast", query, _Answer))

    return weather


async def _key(context: ToolContext, name: str) -> dict[str, str]:
    if not name:
        return {}
    try:
        return {"apikey": await context.secrets.get(name)}
    except SecretUnavailable:
        raise ToolError("The weather service cannot be used right now: its key is not available.") from None


async def _get(context: ToolContext, url: str, query: Query, shape: type[Shape]) -> Shape:
    """The provider's answer, checked: what it says is data from outside."""
    try:
        return shape.model_validate(await context.http.get_json(url, query, deadline=context.deadline))
    except EgressFailed as error:
        if error.status == 429:
            raise ToolError("The weather service is asked too often. Try again in a minute.") from None
        raise ToolError("The weather service cannot be reached right now.") from None
    except ValidationError:
        raise ToolError("The weather service gave an answer that makes no sense.") from None


def _chosen(places: list[_Place], region: str) -> _Place:
    """The best-known place of those found, or the first within the region."""
    fitting = [place for place in places if not region or place.matches(region)]
    if fitting:
        return fitting[0]
    if places:
        known = "; ".join(str(place) for place in places[:5])
        raise ToolError(f"There is no such city in that region. Known are: {known}.")
    raise ToolError("No city of this name is known. Give its English or local name and nothing else.")


def _forecast(place: _Place, answer: _Answer) -> Forecast:
    now, daily = answer.current, answer.daily
    days = zip(
        daily.time,
        daily.weather_code,
        daily.temperature_2m_min,
        daily.temperature_2m_max,
        daily.precipitation_probability_max,
        strict=False,
    )
    return Forecast(
        place=str(place),
        time=now.time,
        weather=_weather(now.weather_code),
        temperature=now.temperature_2m,
        feels_like=now.apparent_temperature,
        humidity=now.relative_humidity_2m,
        precipitation=now.precipitation,
        wind=now.wind_speed_10m,
        days=[Day(date, _weather(code), lowest, highest, rain) for date, code, lowest, highest, rain in days],
    )


def _weather(code: int | None) -> str:
    return CODES.get(code, "unknown") if code is not None else "unknown"
