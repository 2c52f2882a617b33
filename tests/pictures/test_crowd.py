"""Many callers with large photos at once: what they take of the worker's memory."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest
from PIL import Image

from dev.emulator import Emulators
from tests.photos import photo, saved

ROOT = Path(__file__).parents[2]
CALLERS = 20
MOST = 400
"""MB above the idle worker."""

SERVER = """
import json, sys
from dev.host import Host
with Host.start(json.loads(sys.argv[1])) as host:
    print(host.url, flush=True)
    sys.stdin.read()
"""


def photo_of_8_mb() -> bytes:
    """A phone's photo: 12 MP with a sensor's noise."""
    out = io.BytesIO()
    Image.effect_noise((4000, 3000), 60).convert("RGB").save(out, "JPEG", quality=90)
    return out.getvalue()


def memory(process: int, line: str) -> int:
    """A line of a process's status, in MB."""
    return int(Path(f"/proc/{process}/status").read_text().split(line + ":")[1].split()[0]) // 1024


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process's peak in /proc")
def test_twenty_callers_with_8_mb_photos_stay_under_400_mb_above_idle() -> None:
    large = photo_of_8_mb()
    assert len(large) > 8_000_000
    with (
        Emulators.start(identity_port=0, openai_port=0) as emulators,
        subprocess.Popen(
            [sys.executable, "-c", SERVER, json.dumps(emulators.environ())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "CONTAINER_NAME": ""},
        ) as server,
    ):
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            url = server.stdout.readline().decode().strip() + "/api/images/analyze"

            def ask(picture: bytes) -> int:
                form = {"image": ("photo.jpg", picture)}
                return httpx2.post(url, data={"instructions": "Look."}, files=form, timeout=120).status_code

            assert ask(saved(photo(64, 48), "JPEG")) == 200
            idle = memory(server.pid, "VmRSS")
            # None is answered before all have come: so much is held at once.
            emulators.openai.script(*[{"gate": "all", "after": 0}] * CALLERS)
            with ThreadPoolExecutor(CALLERS) as callers:
                asking = [callers.submit(ask, large) for _ in range(CALLERS)]
                assert emulators.openai.wait_requests(1 + CALLERS, timeout=60)
                emulators.openai.open_gate("all")
                assert [one.result() for one in asking] == [200] * CALLERS
            assert memory(server.pid, "VmHWM") - idle < MOST
        finally:
            server.stdin.close()
