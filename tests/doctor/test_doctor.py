"""`python -m dev doctor`, as a person runs it: what is printed, how it waits, how it ends."""

from __future__ import annotations

import argparse
import io
import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from dev import doctor as command
from dev.__main__ import main
from dev.emulator import Emulators
from shared.readiness import Rung
from tests.conftest import PLANTED_KEY, ROOT
from tests.doctor.conftest import Doctor
from tests.told import TOKEN_START


@pytest.fixture
def printed(laptop: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Runs it for a person; its exit code, and what it printed."""

    def run(*words: str) -> tuple[int, str]:
        code = main(["doctor", "--no-emulators", *words])
        out, error = capsys.readouterr()
        assert error == ""
        assert TOKEN_START not in out
        return code, out

    return run


class Patience:
    """A clock that only the waiting moves, and what happens meanwhile."""

    def __init__(self, meanwhile: Callable[[int], None] = lambda _: None) -> None:
        self.now = 0.0
        self.pauses: list[float] = []
        self._meanwhile = meanwhile

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds
        self._meanwhile(len(self.pauses))


def examine(patience: Patience, *words: str) -> int:
    """The command, with a clock of the test's own."""
    parser = argparse.ArgumentParser()
    command.add_command(parser.add_subparsers())
    arguments = parser.parse_args(["doctor", "--no-emulators", *words])
    return command.examine(arguments, command.Waiting(patience.clock, patience.sleep))


def test_all_is_well_in_one_line_a_rung(printed: Callable[..., tuple[int, str]], azure: Emulators) -> None:
    code, out = printed()
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "Settings: the environment."
    here = f"127.0.0.1:{azure.openai.port}"
    assert [line.split(": ")[0] for line in lines[2:9]] == [
        "✓ settings",
        "✓ identity",
        "✓ token",
        f"✓ dns {here}",
        f"✓ reach {here}",
        f"✓ role {here}",
        "✓ deployment gpt-4.1-mini",
    ]
    assert lines[-1] == "All is well."


def test_below_a_broken_rung_is_what_it_means_and_what_mends_it(
    printed: Callable[..., tuple[int, str]], azure: Emulators
) -> None:
    azure.openai.role_granted = False
    code, out = printed()
    assert code == 1
    lines = out.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith(f"✗ role 127.0.0.1:{azure.openai.port}: "))
    assert lines[at + 1].startswith("    Either the role ")
    assert lines[at + 2] == "    # tells them apart: where the role is listed, wait some minutes"
    assert lines[at + 3].startswith("    az role assignment list ")
    assert lines[at + 5].startswith("    az role assignment create ")
    assert lines[-3:] == [
        "· deployment gpt-4.1-mini: not tried, as role is broken",
        "",
        f"Broken: role 127.0.0.1:{azure.openai.port}.",
    ]


def test_a_terminal_without_the_marks_gets_plain_ones() -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    command.Print(out).rung(Rung("settings", "ok", "complete"))
    out.flush()
    assert out.buffer.getvalue() == b"ok settings: complete\n"


def test_waiting_ends_when_the_role_appears(laptop: Path, azure: Emulators, capsys: pytest.CaptureFixture[str]) -> None:
    azure.openai.role_granted = False

    def grant(tries: int) -> None:
        azure.openai.role_granted = tries == 2

    patience = Patience(grant)
    assert examine(patience, "--wait", "--interval", "20") == 0
    assert patience.pauses == [20, 20]
    out = capsys.readouterr().out
    assert out.count("✗ role") == 2
    assert out.count("Trying again in 20 seconds") == 2
    assert out.endswith("All is well.\n")


def test_waiting_has_an_end(laptop: Path, azure: Emulators, capsys: pytest.CaptureFixture[str]) -> None:
    azure.openai.role_granted = False
    patience = Patience()
    assert examine(patience, "--json", "--wait", "--interval", "10", "--max-wait", "35") == 1
    assert patience.pauses == [10, 10, 10]
    document = json.loads(capsys.readouterr().out)
    assert (document["tries"], document["waited"], document["status"]) == (4, 30, "not_ready")


def test_ctrl_c_ends_the_waiting_without_a_trace(
    laptop: Path, azure: Emulators, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    azure.openai.role_granted = False
    assert examine(Patience(interrupt), "--wait") == 1
    assert capsys.readouterr().err == "\nStopped.\n"


def test_nobody_waits_for_settings_or_unasked(laptop: Path, azure: Emulators, monkeypatch: pytest.MonkeyPatch) -> None:
    azure.openai.role_granted = False
    patience = Patience()
    assert examine(patience) == 1
    monkeypatch.setenv("MAX_MESSAGES", "none")
    assert examine(patience, "--wait") == 2
    assert patience.pauses == []


def test_the_settings_file_is_read_and_the_environment_wins(
    laptop: Path, monkeypatch: pytest.MonkeyPatch, printed: Callable[..., tuple[int, str]]
) -> None:
    values = {"AZURE_OPENAI_DEPLOYMENT": "gpt-5.4-mini", "AZURE_OPENAI_ENDPOINT": "https://nothing.invalid"}
    (laptop / "local.settings.json").write_text(json.dumps({"Values": values}), encoding="utf-8")
    monkeypatch.delenv("AZURE_OPENAI_DEPLOYMENT")
    code, out = printed()
    assert code == 0
    assert out.startswith("Settings: the environment over local.settings.json.\n")
    assert "✓ deployment gpt-5.4-mini" in out


def test_a_settings_file_that_cannot_be_read_ends_it_with_2(laptop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (laptop / "local.settings.json").write_text("{", encoding="utf-8")
    assert main(["doctor"]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("local.settings.json is not readable JSON")


def test_a_shell_in_a_container_is_still_a_laptop(doctor: Doctor) -> None:
    assert doctor(CONTAINER_NAME="devbox").code == 0


def test_emulators_that_run_already_are_used(laptop: Path, azure: Emulators) -> None:
    assert main(["doctor", "--json"]) == 0
    assert len(azure.openai.requests) == 2


def test_where_something_listens_at_the_usual_port_none_are_started(
    laptop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "http://127.0.0.1:7073")
    monkeypatch.setenv("IDLE_TIMEOUT_SECONDS", "0.3")
    with ExitStack() as held:
        with suppress(OSError):
            held.enter_context(socket.create_server(("127.0.0.1", 7073)))
        assert main(["doctor", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["emulated"] is False
    assert [one["name"] for one in document["rungs"] if one["state"] == "failed"] == ["role"]


def test_emulators_of_its_own_can_be_asked_for(
    laptop: Path, azure: Emulators, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--emulators"]) == 0
    assert "Azure: the local emulators, started for this.\n" in capsys.readouterr().out
    assert azure.openai.requests == []


def test_a_fresh_clone_is_well(tmp_path: Path) -> None:
    shutil.copy(ROOT / "local.settings.json.example", tmp_path)
    run = subprocess.run(
        [sys.executable, "-m", "dev", "doctor", "--json"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    document = json.loads(run.stdout)
    assert (run.returncode, run.stderr, document["status"]) == (0, "", "ready")
    assert document["settings"] == "local.settings.json.example"


CLIENT_ID = "11111111-2222-4333-8444-555555555555"


@pytest.mark.parametrize(
    ("environ", "applies", "because"),
    [
        ({}, "system-assigned managed identity", "IDENTITY_ENDPOINT is set"),
        ({"AZURE_CLIENT_ID": CLIENT_ID}, "user-assigned managed identity", "AZURE_CLIENT_ID names it"),
        (
            {"IDENTITY_ENDPOINT": "", "PATH": "/nowhere"},
            "a developer's sign-in (az login, azd auth login, VS Code)",
            "This is a development host",
        ),
        (
            {"AZURE_FEDERATED_TOKEN_FILE": "/nowhere", "AZURE_CLIENT_ID": CLIENT_ID, "AZURE_TENANT_ID": CLIENT_ID},
            "workload identity (AKS and other federated hosts)",
            "AZURE_FEDERATED_TOKEN_FILE is set",
        ),
    ],
)
def test_one_way_to_sign_in_applies_and_the_reason_is_told(
    doctor: Doctor, environ: dict[str, str], applies: str, because: str
) -> None:
    ways = doctor("--explain", **environ).document["sign_in"]
    (applying,) = (one for one in ways if one["state"] == "applies")
    assert applying["name"] == applies
    assert applying["why"].startswith(because) or because in applying["why"]
    refused = [one["name"] for one in ways if one["state"] == "refused"]
    assert refused == [
        "API key",
        "a token given as a setting",
        "service principal with a secret",
        "user name and password",
        "several, one after another (DefaultAzureCredential)",
    ]


def test_a_key_that_is_set_is_named_where_keys_are_refused(
    printed: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", PLANTED_KEY)
    code, out = printed("--explain")
    assert code == 0
    assert "· API key: never\n      OPENAI_API_KEY is set here, and ignored; in Azure the app would refuse" in out
    assert "✓ system-assigned managed identity: this one\n" in out
    assert "· workload identity" in out
    assert PLANTED_KEY not in out


def test_outside_a_development_host_a_key_keeps_the_app_from_serving(doctor: Doctor, azure: Emulators) -> None:
    visit = doctor(
        "--explain",
        AZURE_FUNCTIONS_ENVIRONMENT="Production",
        AZURE_OPENAI_ENDPOINT="https://nothing.invalid",
        KEY_VAULT_URL="",
        WEATHER_URL="",
        WEATHER_GEOCODING_URL="",
        OPENAI_API_KEY=PLANTED_KEY,
    )
    assert visit.code == 2
    assert "refuses to serve until it is deleted" in visit.document["sign_in"][0]["why"]
    assert visit.commands == [
        "az functionapp config appsettings delete --name APP --resource-group GROUP --setting-names OPENAI_API_KEY"
    ]
