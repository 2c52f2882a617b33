"""The time in a zone, from the zone's IANA name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from shared.tools.clock import current_time
from shared.tools.tool import ToolError
from tests.tools.context import context


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Etc/GMT+5"])
async def test_a_zones_time_is_told_with_its_offset_and_weekday(zone: str) -> None:
    told = json.loads(await current_time.run(json.dumps({"zone": zone}), context()))
    moment = datetime.fromisoformat(told["time"])
    now = datetime.now(ZoneInfo(zone))
    assert abs(moment - now) < timedelta(seconds=5)
    assert moment.utcoffset() == now.utcoffset()
    assert told["zone"] == zone
    assert told["weekday"] in {f"{now - timedelta(seconds=5):%A}", f"{now:%A}"}
    assert told["abbreviation"]


@pytest.mark.parametrize(
    ("zone", "hint"),
    [
        ("Berlin", "Europe/Berlin"),
        ("New York", "America/New_York"),
        ("europe/berlin", "Europe/Berlin"),
        ("Europe/Berlim", "Europe/Berlin"),
    ],
)
async def test_an_unknown_zone_is_refused_with_what_may_be_meant(zone: str, hint: str) -> None:
    with pytest.raises(ToolError, match=f"Did you mean .*{hint}"):
        await current_time(zone)


@pytest.mark.parametrize(
    "zone", ["", "Mars/Olympus", "../../etc/passwd", "/etc/localtime", "Europe", "\x00", "\ud800", "x" * 10_000, "CON"]
)
async def test_what_is_no_zone_is_refused(zone: str) -> None:
    with pytest.raises(ToolError, match="no time zone of this name") as caught:
        await current_time(zone)
    assert len(str(caught.value)) < 300


def test_the_packages_own_database_serves_where_the_system_has_none() -> None:
    program = """
import asyncio
from shared.tools.clock import current_time
print(asyncio.run(current_time("Europe/Berlin")).zone)
"""
    environ = {**os.environ, "PYTHONTZPATH": ""}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, env=environ, text=True)
    assert done.stdout.strip() == "Europe/Berlin"
