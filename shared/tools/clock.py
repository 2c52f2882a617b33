"""What time is it somewhere?"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from shared.tools.tool import ToolError, tool


@dataclass(frozen=True, slots=True)
class LocalTime:
    """A moment as the clocks of a zone show it. `time` is in ISO 8601, with the offset to UTC."""

    zone: str
    time: str
    weekday: str
    abbreviation: str


@tool
async def current_time(zone: str) -> LocalTime:
    """Tells the current date, time and weekday in a time zone.

    Args:
        zone: The zone's IANA name, such as Europe/Berlin, America/New_York or UTC.
    """
    if zone not in await asyncio.to_thread(_zones):  # the first time it reads the disk
        raise ToolError(f"There is no time zone of this name.{_hint(zone)} Use an IANA name such as Europe/Berlin.")
    now = datetime.now(ZoneInfo(zone))
    return LocalTime(zone, now.isoformat(timespec="seconds"), f"{now:%A}", now.tzname() or "")


@cache
def _zones() -> frozenset[str]:
    """Every zone's name, from the system's database or, where there is none, from the package tzdata."""
    return frozenset(available_timezones())


def _hint(zone: str) -> str:
    """Names that may be meant: those of that city, or of nearly that spelling."""
    asked = zone[:64].strip().replace(" ", "_").casefold()
    spellings = {name.casefold(): name for name in sorted(_zones())}
    cities = [folded for folded in spellings if folded.rsplit("/", 1)[-1] == asked.rsplit("/", 1)[-1]]
    meant = [spellings[folded] for folded in cities[:3] or get_close_matches(asked, spellings, 3)]
    return f" Did you mean {' or '.join(meant)}?" if meant else ""
