"""Starting and stopping: in a thread, on a loop, and as a command."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from dev.emulator import Emulators
from dev.emulator.__main__ import main

ROOT = Path(__file__).parents[2]


def test_the_environment_points_at_both_and_names_an_identity_if_asked() -> None:
    with Emulators.start() as emulators:
        environ = emulators.environ()
        assert environ == {
            "AZURE_FUNCTIONS_ENVIRONMENT": "Development",
            "AZURE_OPENAI_DEPLOYMENT": "gpt-4.1-mini",
            "AZURE_OPENAI_ENDPOINT": f"http://127.0.0.1:{emulators.openai.port}",
            "IDENTITY_ENDPOINT": f"http://127.0.0.1:{emulators.identity.port}/msi/token",
            "IDENTITY_HEADER": emulators.identity.header,
        }
        assert emulators.environ(client_id="abc") == {**environ, "AZURE_CLIENT_ID": "abc"}
        assert environ["AZURE_OPENAI_DEPLOYMENT"] in emulators.openai.deployments


def test_a_taken_port_is_an_os_error_and_leaves_nothing_behind() -> None:
    with Emulators.start() as first:
        with pytest.raises(OSError, match="in use"):
            Emulators.start(openai_port=first.openai.port)
        with pytest.raises(OSError, match="in use"):
            Emulators.start(identity_port=first.identity.port)


def test_the_ports_are_free_again_after_a_stop() -> None:
    with Emulators.start() as first:
        ports = first.identity.port, first.openai.port
    with Emulators.start(*ports) as second:
        assert (second.identity.port, second.openai.port) == ports


async def test_they_also_serve_on_a_running_loop_until_cancelled() -> None:
    emulators = Emulators()
    ready = asyncio.Event()
    serving = asyncio.create_task(emulators.serve(0, 0, ready=ready.set))
    await ready.wait()
    _, writer = await asyncio.open_connection("127.0.0.1", emulators.identity.port)
    writer.close()
    await writer.wait_closed()
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", emulators.identity.port)


def test_the_command_prints_where_it_listens_and_stops_on_ctrl_c() -> None:
    command = [sys.executable, "-m", "dev.emulator", "--identity-port", "0", "--openai-port", "0"]
    with subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "PYTHONUNBUFFERED": "1"}, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        told = ""
        while "Ctrl-C" not in told:
            told += process.stdout.readline()
        found = re.search(r"AZURE_OPENAI_ENDPOINT=(\S+)", told)
        assert found is not None
        assert "IDENTITY_HEADER=emulated" in told
        with urllib.request.urlopen(f"{found[1]}/control/state") as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGINT)
        assert "Stopped." in process.stdout.read()
        assert process.wait() == 0


def test_the_command_says_that_a_port_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["--identity-port", port, "--openai-port", "0"]) == 1
    assert "in use" in capsys.readouterr().err
