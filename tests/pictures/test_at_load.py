"""What pictures cost a worker: processor time for one, and memory for many callers at once."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shared.pictures import take_one
from tests.photos import photo, saved

# A process of its own, so that its high-water mark is the intake's alone.
CALLERS = """
import asyncio, json, pathlib, sys
from shared.pictures import Intake, take_one

def memory(line):
    return int(pathlib.Path("/proc/self/status").read_text().split(line + ":")[1].split()[0]) / 1024

async def main(file):
    intake = Intake()
    take_one(pathlib.Path(sys.argv[1], "warm").read_bytes())
    idle = memory("VmRSS")
    photos = [file.read_bytes() for _ in range(20)]
    pictures = await asyncio.gather(*(intake.take([photo]) for photo in photos))
    intake.close()
    print(json.dumps({"mb": memory("VmHWM") - idle, "sides": [picture.width for picture, in pictures]}))

asyncio.run(main(pathlib.Path(sys.argv[1], sys.argv[2])))
"""


def test_a_photo_of_twelve_megapixels_costs_a_fraction_of_a_second() -> None:
    data = saved(photo(4032, 3024, noise=40), "JPEG", quality=90)
    take_one(data)
    before = time.process_time()
    take_one(data)
    assert time.process_time() - before < 1  # a quarter of a second is meant; others may use this machine


def test_a_small_clean_photo_costs_milliseconds() -> None:
    data = saved(photo(2048, 1536, noise=40), "JPEG", quality=90)
    take_one(data)
    before = time.process_time()
    take_one(data)
    assert time.process_time() - before < 0.1


def test_twenty_callers_with_photos_of_eight_megabytes_stay_under_400_more(tmp_path: Path) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("needs Linux's /proc for the high-water mark")
    data = saved(photo(4032, 3024, noise=40), "JPEG", quality=97)
    assert len(data) > 8_000_000
    (tmp_path / "photo").write_bytes(data)
    (tmp_path / "warm").write_bytes(saved(photo(64, 64), "HEIF"))
    command = [sys.executable, "-c", CALLERS, str(tmp_path), "photo"]
    report = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert len(report["sides"]) == 20
    assert report["mb"] < 400
