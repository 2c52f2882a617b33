"""The app's identity, by the unmodified azure-identity against the platform's endpoint."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dev.emulator import Emulators
from dev.host import Host
from shared.azure.identity import NOT_SIGNED_IN, TokenKeeper, make_credential
from shared.errors import IdentityUnavailable
from shared.settings import Settings
from tests.conftest import ROOT, App

HOUR = 3600.0
HELLO = {"messages": [{"role": "user", "content": "Hello"}]}
OUTAGE = {"status": 500}


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(azure: Emulators) -> Clock:
    clock = Clock()
    azure.identity.clock = clock
    return clock


@pytest.fixture
def keeper(azure: Emulators, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> TokenKeeper:
    """A keeper of the system-assigned identity's token."""
    # azure-identity reads the platform's variables from the process itself.
    for name, value in azure.environ().items():
        monkeypatch.setenv(name, value)
    settings = Settings.from_env({**azure.environ()})
    assert settings.credential_kind == "managed"
    return TokenKeeper(partial(make_credential, settings), settings.token_scope, timeout=2, clock=clock)


async def settled() -> None:
    """Lets a renewal in the background come to its end."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others, timeout=10)


async def test_fifty_first_callers_share_one_token_request(azure: Emulators, keeper: TokenKeeper) -> None:
    tokens = await asyncio.gather(*(keeper.token() for _ in range(50)))
    assert len(set(tokens)) == 1
    (request,) = azure.identity.requests
    assert request.query["resource"] == "https://cognitiveservices.azure.com"
    assert "client_id" not in request.query


async def test_a_day_long_token_outlives_an_outage_of_its_endpoint(
    azure: Emulators, keeper: TokenKeeper, clock: Clock
) -> None:
    azure.identity.script({"life": 24 * HOUR})
    token = await keeper.token()
    end = clock.now + 24 * HOUR
    azure.identity.script_forever(OUTAGE)
    for now in (clock.now + 12 * HOUR + 120, end - 2 * HOUR, end - 61):
        clock.now = now
        assert await keeper.token() == token
        await settled()
    assert len(azure.identity.requests) > 1, "it tried to renew the token meanwhile"
    clock.now = end - 30
    with pytest.raises(IdentityUnavailable) as caught:
        await keeper.token()
    assert caught.value.retryable
    azure.identity.clear()
    clock.now = end - 20
    assert await keeper.token() != token


async def test_a_token_past_half_its_life_is_renewed_beside_the_callers(
    azure: Emulators, keeper: TokenKeeper, clock: Clock
) -> None:
    azure.identity.script({"life": 24 * HOUR})
    first = await keeper.token()
    clock.now += 11 * HOUR
    assert await keeper.token() == first
    clock.now += 2 * HOUR
    assert [await keeper.token() for _ in range(5)] == [first] * 5
    await settled()
    assert await keeper.token() != first
    assert len(azure.identity.requests) == 2


async def test_a_failing_renewal_is_tried_again_after_growing_pauses(
    azure: Emulators, keeper: TokenKeeper, clock: Clock
) -> None:
    azure.identity.script({"life": 24 * HOUR})
    await keeper.token()
    azure.identity.script_forever({"status": 400})
    clock.now += 13 * HOUR
    attempts = []
    for _ in range(60):
        await keeper.token()
        await settled()
        attempts.append(len(azure.identity.requests))
        clock.now += 5
    # In five minutes: at 0, 5, 15, 35, 75 and 155 s.
    assert attempts[-1] == 1 + 6


async def test_a_short_lived_token_is_used_while_it_lives(azure: Emulators, keeper: TokenKeeper, clock: Clock) -> None:
    azure.identity.script_forever({"life": 40})
    first = await keeper.token()
    clock.now += 1
    assert await keeper.token() != first


@pytest.mark.parametrize(
    "step",
    [
        {"status": 500},
        {"status": 404},
        {"status": 400},
        {"hang": True},
        {"reset": True},
        {"life": -10},
        {"broken": "no-expires-on"},
        {"broken": "not-json"},
        {"broken": "no-token"},
        {"broken": "empty"},
        {"token": "a\r\nb"},
        {"token": "ünïcode"},
    ],
)
async def test_an_endpoint_that_fails_is_told_within_the_time_out(
    azure: Emulators, keeper: TokenKeeper, step: dict[str, Any]
) -> None:
    azure.identity.script_forever(step)
    started = time.monotonic()
    with pytest.raises(IdentityUnavailable):
        await keeper.token()
    assert time.monotonic() - started < 3
    azure.identity.clear()
    assert await keeper.token()


async def test_one_failure_of_the_endpoint_is_bridged(azure: Emulators, keeper: TokenKeeper) -> None:
    azure.identity.script({"status": 429, "headers": {"retry-after": "0"}})
    assert await keeper.token()


async def test_a_refused_token_is_renewed_once_for_all_who_hold_it(
    azure: Emulators, keeper: TokenKeeper, clock: Clock
) -> None:
    refused = await keeper.token()
    others = await asyncio.gather(*(keeper.another(refused) for _ in range(20)))
    assert len(set(others)) == 1
    assert others[0] not in (refused, None)
    assert len(azure.identity.requests) == 2
    assert await keeper.another(refused) == others[0]
    # The next refusal comes too soon for another renewal: the token is not what is wrong.
    assert await keeper.another(str(others[0])) is None
    clock.now += 60
    assert await keeper.another(str(others[0])) is not None


async def test_a_caller_who_leaves_does_not_end_the_flight_of_the_others(azure: Emulators, keeper: TokenKeeper) -> None:
    azure.identity.script({"gate": "slow"})
    leaves, stays = asyncio.create_task(keeper.token()), asyncio.create_task(keeper.token())
    assert await asyncio.to_thread(azure.identity.wait_gate, "slow")
    leaves.cancel()
    azure.identity.open_gate("slow")
    assert await stays
    assert len(azure.identity.requests) == 1
    await keeper.close()


async def test_closing_ends_a_renewal_under_way(azure: Emulators, keeper: TokenKeeper) -> None:
    azure.identity.script({"hang": True})
    asking = asyncio.create_task(keeper.token())
    assert await asyncio.to_thread(azure.identity.wait_requests)
    await keeper.close()
    with pytest.raises(asyncio.CancelledError):
        await asking


def test_a_user_assigned_identity_is_asked_for_by_its_client_id(app: App) -> None:
    (client_id,) = app.azure.identity.client_ids
    caller = app.start({"AZURE_CLIENT_ID": client_id})
    assert caller.post("chat", json=HELLO).status_code == 200
    assert app.azure.identity.requests[0].query["client_id"] == client_id


def test_an_identity_that_is_not_assigned_is_told_as_such(app: App) -> None:
    response = app.start({"AZURE_CLIENT_ID": "99999999-0000-4000-8000-000000000000"}).post("chat", json=HELLO)
    assert response.status_code == 503
    error = response.json()["error"]
    assert error["code"] == "identity_unavailable"
    assert "AZURE_CLIENT_ID" in error["message"]
    assert response.headers["retry-after"] == "5"


def test_a_401_takes_a_fresh_token_once_and_the_caller_sees_nothing_of_it(app: App) -> None:
    caller = app.start()
    app.azure.openai.script({"status": 401, "error": {"code": "401", "message": "expired"}})
    assert caller.post("chat", json=HELLO).status_code == 200
    first, second = (one.headers["authorization"] for one in app.azure.openai.requests)
    assert first != second


def test_a_token_that_is_refused_again_is_told(app: App) -> None:
    caller = app.start()
    app.azure.openai.script_forever({"status": 401, "error": {"code": "401", "message": "wrong tenant"}})
    codes = [caller.post("chat", json=HELLO).json()["error"]["code"] for _ in range(3)]
    assert codes == ["upstream_unauthorized"] * 3
    assert len(app.azure.identity.requests) == 2


def test_a_token_that_azure_openai_finds_expired_is_replaced(app: App) -> None:
    caller = app.start()
    assert caller.post("chat", json=HELLO).status_code == 200
    # The service's clock is a day ahead: the token that the app holds has expired there.
    app.azure.openai.clock = app.azure.identity.clock = lambda: time.time() + 25 * HOUR
    assert caller.post("chat", json=HELLO).status_code == 200
    assert len(app.azure.identity.requests) == 2


def test_a_missing_role_is_told_with_its_name_and_no_new_token_is_taken(app: App) -> None:
    caller = app.start()
    app.azure.openai.role_granted = False
    response = caller.post("chat", json=HELLO)
    assert response.status_code == 502
    assert "Cognitive Services OpenAI User" in response.json()["error"]["message"]
    assert response.headers["retry-after"] == "60"
    assert len(app.azure.identity.requests) == 1


async def test_a_federated_host_uses_workload_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings.from_env(
        {
            "AZURE_FEDERATED_TOKEN_FILE": "/nowhere/token",
            "AZURE_CLIENT_ID": "5a57e000-0000-4000-8000-000000000001",
            "AZURE_TENANT_ID": "72f988bf-0000-4000-8000-2d7cd011db47",
        }
    )
    credential = make_credential(settings)
    assert type(credential).__name__ == "WorkloadIdentityCredential"
    await credential.close()


def test_a_laptop_where_nobody_is_signed_in_is_told_how_to_sign_in(app: App, tmp_path: Path) -> None:
    # No command-line tool is on this path, and no sign-in in this home.
    nobody = {"IDENTITY_ENDPOINT": None, "IDENTITY_HEADER": None, "PATH": str(tmp_path), "HOME": str(tmp_path)}
    response = app.start(nobody).post("chat", json=HELLO)
    assert response.status_code == 503
    error = response.json()["error"]
    assert (error["code"], error["message"]) == ("identity_unavailable", NOT_SIGNED_IN)
    assert "az login" in error["message"]
    assert "managed identity" not in error["message"]


def test_the_warm_up_tells_it_too_in_one_warning(app: App, tmp_path: Path) -> None:
    nobody = {"IDENTITY_ENDPOINT": None, "IDENTITY_HEADER": None, "PATH": str(tmp_path), "HOME": str(tmp_path)}
    before = len(app.told.lines)
    with Host.start({**app.azure.environ(), **nobody}, path=ROOT / "function_app.py") as host:
        assert host.wait_warm()
    lines = [line for line in app.told.lines[before:] if NOT_SIGNED_IN in line]
    assert lines == [f"app WARNING warm-up: identity_unavailable: {NOT_SIGNED_IN}"]


async def test_a_laptop_without_an_identity_endpoint_uses_developer_sign_in_and_no_secret() -> None:
    settings = Settings.from_env({"AZURE_FUNCTIONS_ENVIRONMENT": "Development", "AZURE_CLIENT_SECRET": "x"})
    credential: Any = make_credential(settings)
    kinds = [type(one).__name__ for one in credential.credentials]
    assert kinds == ["AzureCliCredential", "AzureDeveloperCliCredential", "VisualStudioCodeCredential"]
    await credential.close()
