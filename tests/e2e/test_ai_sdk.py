"""The UI message stream, read by the AI SDK itself (npm's `ai`)."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import App

HERE = Path(__file__).parent
VERSIONS = ["ai5", "ai6"]

pytestmark = pytest.mark.skipif(
    not shutil.which("node") or not (HERE / "node_modules").is_dir(),
    reason="the npm clients are not installed: `make clients` does it, where there is Node 20 or later",
)


def turns(app: App, version: str, path: str, *texts: str) -> list[dict[str, Any]]:
    """What the SDK made of one turn for each text."""
    command = ["node", "ai_sdk.mjs", version, f"{app.start().base_url}{path}", *texts]
    run = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=True, timeout=30)
    return [json.loads(line) for line in run.stdout.splitlines()]


def two_turns(app: App, version: str) -> list[dict[str, Any]]:
    """What the SDK made of two turns of chat."""
    return turns(app, version, "chat", "Hello", "And again")


@pytest.mark.parametrize("version", VERSIONS)
def test_the_sdk_reads_an_answer_and_sends_it_back_with_the_next_turn(app: App, version: str) -> None:
    app.azure.openai.script({"chunks": ["Good ", "morning."]})
    first, second = two_turns(app, version)
    assert first["errors"] == second["errors"] == []
    assert first["message"]["parts"][-1] == {"type": "text", "text": "Good morning.", "state": "done"}
    assert first["message"]["metadata"]["finish_reason"] == "stop"
    assert first["parts"][-1] == "finish"
    assert "“And again”" in second["message"]["parts"][-1]["text"]
    assert [item["role"] for item in app.azure.openai.requests[1].json()["input"]] == ["user", "assistant", "user"]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_sdk_reads_an_answer_that_broke_off_as_one_error(app: App, version: str) -> None:
    app.azure.openai.script({"chunks": ["Good ", "morning."], "truncate": 1})
    first, second = two_turns(app, version)
    assert first["errors"] == ["Error: The model's answer broke off before its end. Try again."]
    assert first["parts"][-3:] == ["text-end", "data-error", "error"]
    assert first["message"]["parts"][-1]["text"] == "Good "
    assert second["errors"] == []


@pytest.mark.parametrize("version", VERSIONS)
def test_the_sdk_reads_a_run_of_the_agent_and_goes_on_from_it(app: App, version: str) -> None:
    question = "What is the weather in Paris and the current time in Europe/Paris? Then use the calculator on '6 * 7'."
    first, second = turns(app, version, "agent", question, "Thank you.")
    assert first["errors"] == second["errors"] == []
    tools = [part for part in first["message"]["parts"] if part["type"].startswith("tool-")]
    assert {part["type"] for part in tools} == {"tool-current_time", "tool-weather", "tool-calculator"}
    assert {part["state"] for part in tools} == {"output-available"}
    assert sum(part["type"] == "step-start" for part in first["message"]["parts"]) == 3
    assert second["message"]["parts"][-1]["state"] == "done"


@pytest.mark.parametrize("version", VERSIONS)
def test_the_sdk_reads_a_failed_call_as_a_part(app: App, version: str) -> None:
    app.azure.openai.script({"tool_calls": [{"name": "calculator", "arguments": "no json"}]}, {"text": "Sorry."})
    (turn,) = turns(app, version, "agent", "Go.")
    assert turn["errors"] == []
    (failed,) = (part for part in turn["message"]["parts"] if part["type"] == "tool-calculator")
    assert failed["state"] == "output-error"
    assert turn["message"]["parts"][-1]["text"] == "Sorry."


@pytest.mark.parametrize("version", VERSIONS)
def test_a_run_of_two_approvals_stays_one_message_of_the_sdks(app: App, version: str) -> None:
    path = HERE.parent / "agent" / "function_app.py"
    pays = [
        {"tool_calls": [{"id": f"c{n}", "name": "transfer", "arguments": {"amount": n, "to": "x"}}]} for n in (1, 2)
    ]
    app.azure.openai.script(*pays, {"text": "Both are paid."})
    command = ["node", "approval.mjs", version, f"{app.start(path=path).base_url}agent"]
    run = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=True, timeout=30)
    told = json.loads(run.stdout)
    assert told["errors"] == []
    _, answer = told["messages"]
    paid = [part for part in answer["parts"] if part["type"] == "tool-transfer"]
    assert [(part["toolCallId"], part["state"]) for part in paid] == [
        ("c1", "output-available"),
        ("c2", "output-available"),
    ]
    assert answer["parts"][-1]["text"] == "Both are paid."
