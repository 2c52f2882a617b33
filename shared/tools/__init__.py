"""What may the agent do?  The tools that this app ships, listed one by one. Nothing is found by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shared.tools.tool import Tool
    from shared.tools.toolbox import Toolbox


def tools(
    *,
    forecast_url: str = "https://api.open-meteo.com",
    geocoding_url: str = "https://geocoding-api.open-meteo.com",
    weather_key: str = "",
) -> Toolbox:
    """The tools of this app. Add yours to the list.

    `forecast_url` and `geocoding_url` are the weather provider's addresses; without them there is no weather
    tool. `weather_key` is the name of the Key Vault secret with the provider's key, empty when it needs none.

    Raises:
        ToolDefinitionError: a tool is written in a way that cannot work; the text names it.
    """
    from shared.tools.calculator import calculator
    from shared.tools.clock import current_time
    from shared.tools.toolbox import Toolbox
    from shared.tools.weather import weather_tool

    listed: list[Tool[..., Any]] = [current_time, calculator]
    if forecast_url and geocoding_url:
        listed.append(weather_tool(forecast_url, geocoding_url, weather_key))
    return Toolbox(listed)
