"""`python -m dev start` and `python -m dev emulators`, as a person runs them."""

from __future__ import annotations

import http.client
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from dev.__main__ import main
from tests.host.conftest import HEADER

ROOT = Path(__file__).parent.parent.parent
ENVIRON = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the app, its host.json and the example settings, and no settings of a developer's own."""
    for name in ("function_app.py", "host.json", "local.settings.json.example"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


class Started:
    """A running command: what it printed up to "Ctrl-C", and how it ends."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.process = process
        self.said = ""
        for line in process.stdout:
            self.said += line
            if line.startswith("Ctrl-C"):
                return
        raise AssertionError(f"it ended with {process.wait()}: {self.said}{process.communicate()}")

    @property
    def url(self) -> str:
        found = re.search(r"http://127\.0\.0\.1:\d+", self.said)
        assert found is not None
        return found[0]

    def end(self, number: int = signal.SIGINT) -> tuple[int, str, str]:
        """Sends a signal; the exit code, and what was printed since: to stdout, to stderr."""
        self.process.send_signal(number)
        out, error = self.process.communicate(timeout=20)
        return self.process.returncode, out, error


def run(folder: Path, *words: str, **environ: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "dev", *words],
        cwd=folder,
        env={**ENVIRON, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def started(folder: Path, *words: str, **environ: str) -> Iterator[Started]:
    process = run(folder, *words, **environ)
    try:
        yield Started(process)
    finally:
        process.kill()
        process.communicate()


def test_start_prints_commands_that_work_and_ctrl_c_ends_it_cleanly(project: Path) -> None:
    with started(project, "start", "--port", "0") as app:
        commands = [line.strip() for line in app.said.splitlines() if line.strip().startswith("curl ")]
        health, answer, stream = (ask(command) for command in commands)
        assert health == '{"status":"ok"}'
        assert json.loads(answer)["message"]["content"]
        assert stream.endswith("data: [DONE]\n\n")
        code, out, error = app.end()
    assert (code, out) == (0, "\nStopped.\n")
    assert "Traceback" not in error
    assert "emulated at http://127.0.0.1:" in app.said


def ask(command: str) -> str:
    """What `curl` would print, without curl."""
    words = shlex.split(command)
    url = next(word for word in words if word.startswith("http://"))
    host, _, path = url.removeprefix("http://").partition("/")
    headers = dict(words[index + 1].split(": ") for index, word in enumerate(words) if word == "-H")
    body = words[words.index("-d") + 1] if "-d" in words else None
    connection = http.client.HTTPConnection(host, timeout=20)
    try:
        method = words[words.index("-X") + 1] if "-X" in words else "POST" if body else "GET"
        connection.request(method, f"/{path}", body, headers)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


STREAMING = (
    HEADER
    + """
@app.route(route="stream")
async def stream(req: Request) -> StreamingResponse:
    async def pieces():
        yield b"first"
        await asyncio.Event().wait()
    return StreamingResponse(pieces())
"""
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_cleanly_with_a_stream_open(tmp_path: Path, number: int) -> None:
    (tmp_path / "function_app.py").write_text(STREAMING, encoding="utf-8")
    with started(tmp_path, "start", "--port", "0", "--no-emulators") as app:
        connection = http.client.HTTPConnection(app.url.removeprefix("http://"), timeout=20)
        connection.request("GET", "/api/stream")
        response = connection.getresponse()
        assert response.read(5) == b"first"
        assert app.end(number) == (0, "\nStopped.\n", "")
        response.close()
        connection.close()


def test_keys_are_enforced_and_shown_when_asked_for(project: Path) -> None:
    with started(project, "start", "--port", "0", "--enforce-auth", "--key", "a-key") as app:
        command = next(line.strip() for line in app.said.splitlines() if "/api/chat" in line)
        assert "-H 'x-functions-key: a-key'" in command
        assert "message" in ask(command)
        assert ask(command.replace("a-key", "another")) == ""
        app.end()


@pytest.fixture
def here(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same folder, as the one in which this very process runs commands."""
    monkeypatch.chdir(project)
    return project


def test_a_busy_port_is_one_clear_line(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("PORT", str(port))
        assert main(["start"]) == 1
    said = f"port {port} is in use; stop what uses it, or take another: make start PORT={port + 10}\n"
    assert capsys.readouterr() == ("", said)


def test_a_port_that_is_no_number_is_a_usage_error(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORT", "http")
    with pytest.raises(SystemExit, match="2"):
        main(["start"])
    assert "invalid int value: 'http'" in capsys.readouterr().err


def test_settings_that_are_wrong_are_listed_and_end_it_with_2(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "http://example.com")
    assert main(["start", "--port", "0", "--no-emulators"]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("these settings are wrong:\n  AZURE_OPENAI_ENDPOINT: ")


def test_a_broken_app_ends_it_with_1_and_the_trace_of_its_import(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "function_app.py").write_text("def broken(:\n", encoding="utf-8")
    assert main(["start", "--port", "0", "--no-emulators"]) == 1
    out, error = capsys.readouterr()
    assert out == ""
    assert "def broken(:" in error
    assert error.splitlines()[-1].startswith("function_app.py cannot be imported: SyntaxError")


@pytest.mark.parametrize("command", [["start", "--port", "0"], ["emulators"]])
def test_a_settings_file_that_cannot_be_read_is_one_clear_line(
    here: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    (here / "local.settings.json").write_text("{", encoding="utf-8")
    assert main(command) == 1
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("local.settings.json is not readable JSON")
    assert error.count("\n") == 1


def test_the_pages_made_from_the_settings_are_written_anew(here: Path) -> None:
    (here / "local.settings.json.example").write_text("old", encoding="utf-8")
    assert main(["settings"]) == 0
    for page in ("local.settings.json.example", "docs/settings.md"):
        assert (here / page).read_bytes() == (ROOT / page).read_bytes()


def test_a_real_endpoint_starts_no_emulators(project: Path) -> None:
    (project / "local.settings.json").write_text(
        json.dumps(
            {
                "Values": {
                    "AZURE_OPENAI_ENDPOINT": "https://somewhere.openai.azure.com",
                    "AZURE_OPENAI_DEPLOYMENT": "mine",
                }
            }
        ),
        encoding="utf-8",
    )
    with started(project, "start", "--port", "0") as app:
        assert "Azure OpenAI: https://somewhere.openai.azure.com\n" in app.said
        assert "emulated at" not in app.said
        assert "IDENTITY_ENDPOINT" not in app.said
        app.end()
    environ = {"IDENTITY_ENDPOINT": "http://127.0.0.1:7072/msi/token", "IDENTITY_HEADER": "emulated"}
    with started(project, "start", "--port", "0", **environ) as app:
        assert "remove\nIDENTITY_ENDPOINT and IDENTITY_HEADER from local.settings.json" in app.said
        app.end()


def test_an_endpoint_of_ones_own_on_this_machine_is_left_alone(project: Path) -> None:
    for endpoint in ("http://127.0.0.1:9", "http://localhost:7074"):
        with started(project, "start", "--port", "0", AZURE_OPENAI_ENDPOINT=endpoint) as app:
            assert f"Azure OpenAI: {endpoint}\n(no emulators: " in app.said
            app.end()


def test_an_older_name_of_the_endpoint_is_shown_and_a_slip_in_a_name_is_told(project: Path) -> None:
    values = {
        "FUNCTIONS_WORKER_RUNTIME": "python",
        "AZURE_OPENAI_BASE_URL": "https://somewhere.openai.azure.com",
        "AZURE_OPENAI_DEPLOYMENT": "mine",
        "MAX_OUTPUT_TOKENZ": "100",
    }
    (project / "local.settings.json").write_text(json.dumps({"Values": values}), encoding="utf-8")
    with started(project, "start", "--port", "0") as app:
        assert "Azure OpenAI: https://somewhere.openai.azure.com\n" in app.said
        _, _, error = app.end()
    assert (
        "WARNING dev.start: local.settings.json: MAX_OUTPUT_TOKENZ is no setting of this app."
        " Is it meant to be MAX_OUTPUT_TOKENS?\n" in error
    )
    assert error.count("is no setting of this app") == 1


def test_the_model_map_of_the_docs_works_as_it_is(project: Path) -> None:
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    example = page.partition("```json\n")[2].partition("```")[0]
    with started(project, "start", "--port", "0", MODELS=example) as app:
        for name in json.loads(example):
            body = json.dumps({"model": name, "messages": [{"role": "user", "content": "Hello"}]})
            command = f"curl {app.url}/api/chat -H 'content-type: application/json' -d '{body}'"
            assert json.loads(ask(command))["model"] == name
        app.end()


def test_the_commands_of_the_page_on_emulators_work_and_the_last_forget_all(project: Path) -> None:
    page = (ROOT / "docs" / "emulators.md").read_text(encoding="utf-8")
    with started(project, "start", "--port", "0") as app:
        openai, identity = re.findall(r"(?:emulated|identity) at (\S+?)(?:,|\n)", app.said)
        commands = [
            line.replace("http://127.0.0.1:7073", openai).replace("http://127.0.0.1:7072", identity)
            for line in page.splitlines()
            if line.startswith("curl ")
        ]
        before, *states = [json.loads(ask(f"curl {openai}/control/state"))] + [json.loads(ask(one)) for one in commands]
        assert [state for state in states if "error" in state] == []
        assert states[-2] == before
        app.end()


def test_a_deployment_and_an_identity_of_ones_own_work_with_emulators_on_any_port(project: Path) -> None:
    taken = None
    with suppress(OSError):
        taken = socket.create_server(("127.0.0.1", 7072))
    environ = {"AZURE_OPENAI_DEPLOYMENT": "my-own", "AZURE_CLIENT_ID": "11111111-2222-4333-8444-555555555555"}
    with started(project, "start", "--port", "0", **environ) as app:
        command = next(line.strip() for line in app.said.splitlines() if "/api/chat" in line)
        assert json.loads(ask(command))["model"] == "my-own"
        assert "the identity at http://127.0.0.1:7072\n" not in app.said
        app.end()
    if taken is not None:
        taken.close()


def test_the_emulators_run_alone(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with started(project, "emulators", "--identity-port", "0", "--openai-port", "0") as emulators:
        settings = dict(re.findall(r"^  (\w+)=(.+)$", emulators.said, re.MULTILINE))
        with started(project, "start", "--port", "0", "--no-emulators", **settings) as app:
            command = next(line.strip() for line in app.said.splitlines() if "/api/chat" in line)
            assert "message" in ask(command)
            app.end()
        port = urlsplit(settings["AZURE_OPENAI_ENDPOINT"]).port
        monkeypatch.chdir(project)
        assert main(["emulators", "--identity-port", "0", "--openai-port", str(port)]) == 1
        assert capsys.readouterr().err == f"port 0 or {port} is in use; do the emulators run already?\n"
        assert emulators.end() == (0, "\nStopped.\n", "")
