"""The tools' secrets, read by the unmodified SDK from a vault that speaks TLS and checks tokens."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, cast

import pytest
from azure.core.credentials import AccessToken
from azure.identity.aio import ManagedIdentityCredential

from dev.emulator import Emulators
from dev.emulator.keyvault import AUDIENCE
from shared.azure.keyvault import Secrets, SecretUnavailable

NAME = "weather-key"
VALUE = "canary-secret-value"
LIFE = 100.0


@pytest.fixture(scope="module")
def _emulators() -> Iterator[Emulators]:
    with Emulators.start() as emulators:
        yield emulators


@pytest.fixture
def emulators(_emulators: Emulators) -> Iterator[Emulators]:
    _emulators.vault.secrets = {NAME: VALUE}
    yield _emulators
    _emulators.vault.clear()
    _emulators.vault.disabled.clear()
    _emulators.vault.role_granted = True
    _emulators.vault.clock = time.time


class Minting:
    """A credential that has tokens of the emulated tenant, and may be out of order."""

    def __init__(self, emulators: Emulators) -> None:
        self.emulators = emulators
        self.scopes: list[str] = []
        self.fails = False
        self.closed = False

    async def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        self.scopes += scopes
        if self.fails:
            raise RuntimeError("canary-secret-value")
        return AccessToken(self.emulators.identity.mint(AUDIENCE), int(time.time()) + 3600)

    async def close(self) -> None:
        self.closed = True


class NoCache:
    """The app's identity, as if no token of it were kept."""

    async def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        async with ManagedIdentityCredential(retry_total=0) as credential:
            token: AccessToken = await credential.get_token(*scopes)
            return token

    async def close(self) -> None:
        """Nothing is open."""


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def credential(emulators: Emulators) -> Minting:
    return Minting(emulators)


@pytest.fixture
async def secrets(emulators: Emulators, credential: Minting, clock: Clock) -> AsyncIterator[Secrets]:
    made = Secrets(
        emulators.vault.url,
        lambda: cast(Any, credential),
        life=LIFE,
        timeout=3,
        development=True,
        ca_file=emulators.ca_file,
        clock=clock,
    )
    yield made
    await made.close()


def reads(emulators: Emulators) -> int:
    """How often the secret itself was asked for; the SDK's first request, which brings no token, is not counted."""
    return sum("authorization" in one.headers for one in emulators.vault.requests)


def lose_the_token(emulators: Emulators, credential: Minting) -> None:
    """From now on the vault refuses the token that the SDK holds, and there is no other."""
    credential.fails = True
    emulators.vault.clock = lambda: time.time() + 90_000


async def test_a_secret_is_read_with_the_identitys_token_for_vaults(
    emulators: Emulators, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in emulators.environ().items():
        monkeypatch.setenv(name, value)
    secrets = Secrets(emulators.vault.url, ManagedIdentityCredential, development=True, ca_file=emulators.ca_file)
    assert await secrets.get(NAME) == VALUE
    await secrets.close()
    assert [one.query["resource"] for one in emulators.identity.requests] == [AUDIENCE]
    assert emulators.vault.requests[-1].path == f"/secrets/{NAME}/"


async def test_a_value_is_kept_for_its_life(emulators: Emulators, secrets: Secrets, clock: Clock) -> None:
    assert await secrets.get(NAME) == VALUE
    emulators.vault.secrets[NAME] = "newer"
    clock.now += LIFE * 0.79
    assert await secrets.get(NAME) == VALUE
    assert reads(emulators) == 1


async def fetched(secrets: Secrets, value: str) -> None:
    """Returns once the value has come in the background."""
    while await secrets.get(NAME) != value:  # noqa: ASYNC110 - only the secrets themselves can tell
        await asyncio.sleep(0)


async def test_near_its_end_a_value_serves_while_the_next_one_is_fetched(
    emulators: Emulators, secrets: Secrets, clock: Clock
) -> None:
    await secrets.get(NAME)
    emulators.vault.secrets[NAME] = "newer"
    emulators.vault.script({"gate": "slow"})
    clock.now += LIFE * 0.81
    assert [await secrets.get(NAME) for _ in range(3)] == [VALUE] * 3
    emulators.vault.open_gate("slow")
    await asyncio.wait_for(fetched(secrets, "newer"), 5)
    assert reads(emulators) == 2


async def test_after_its_life_a_value_is_fetched_before_it_is_given(
    emulators: Emulators, secrets: Secrets, clock: Clock
) -> None:
    await secrets.get(NAME)
    emulators.vault.secrets[NAME] = "newer"
    clock.now += LIFE
    assert await secrets.get(NAME) == "newer"


async def test_many_callers_at_once_make_one_request(emulators: Emulators, secrets: Secrets) -> None:
    assert await asyncio.gather(*(secrets.get(NAME) for _ in range(50))) == [VALUE] * 50
    assert reads(emulators) == 1


async def test_secrets_of_two_names_are_kept_apart(emulators: Emulators, secrets: Secrets) -> None:
    emulators.vault.secrets["other"] = "another"
    assert list(await asyncio.gather(secrets.get(NAME), secrets.get("other"))) == [VALUE, "another"]


async def test_a_caller_who_leaves_does_not_take_the_others_request_along(
    emulators: Emulators, secrets: Secrets
) -> None:
    emulators.vault.script({"gate": "slow"})
    leaver, stayer = (asyncio.create_task(secrets.get(NAME)) for _ in range(2))
    await asyncio.to_thread(emulators.vault.wait_gate, "slow")
    leaver.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaver
    emulators.vault.open_gate("slow")
    assert await stayer == VALUE


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 503},
        {"status": 429, "headers": {"retry-after": "3600"}},
        {"reset": "before"},
        {"body": "<html>"},
        {"body": "{}"},
        {"status": 307, "headers": {"location": "https://127.0.0.1:1/secrets/weather-key/"}},
    ],
    ids=str,
)
async def test_the_last_good_value_serves_through_an_outage(
    emulators: Emulators, secrets: Secrets, clock: Clock, fault: dict[str, Any]
) -> None:
    await secrets.get(NAME)
    emulators.vault.script_forever(fault)
    for _ in range(3):
        clock.now += LIFE * 10
        assert await secrets.get(NAME) == VALUE
    emulators.vault.clear_script()
    emulators.vault.secrets[NAME] = "newer"
    clock.now += LIFE
    assert await secrets.get(NAME) == "newer"


async def test_the_last_good_value_serves_when_no_token_can_be_had(
    emulators: Emulators, credential: Minting, clock: Clock, secrets: Secrets
) -> None:
    await secrets.get(NAME)
    lose_the_token(emulators, credential)
    clock.now += LIFE
    assert await secrets.get(NAME) == VALUE


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500])
async def test_the_last_good_value_serves_while_the_identity_endpoint_refuses(
    emulators: Emulators, clock: Clock, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    for name, value in emulators.environ().items():
        monkeypatch.setenv(name, value)
    kept: dict[str, Any] = {"life": LIFE, "timeout": 3, "development": True, "clock": clock}
    secrets = Secrets(emulators.vault.url, NoCache, ca_file=emulators.ca_file, **kept)
    assert await secrets.get(NAME) == VALUE
    emulators.identity.script_forever({"status": status})
    emulators.vault.clock = lambda: time.time() + 90_000
    clock.now += LIFE
    assert await secrets.get(NAME) == VALUE
    with pytest.raises(SecretUnavailable, match="unreachable"):
        await secrets.get("never-read")
    await secrets.close()
    emulators.identity.clear()


async def test_a_vault_that_hangs_is_given_up_in_time(emulators: Emulators, credential: Minting, clock: Clock) -> None:
    emulators.vault.script_forever({"hang": True})
    secrets = Secrets(
        emulators.vault.url,
        lambda: cast(Any, credential),
        timeout=0.2,
        development=True,
        ca_file=emulators.ca_file,
        clock=clock,
    )
    started = time.monotonic()
    with pytest.raises(SecretUnavailable, match="unreachable"):
        await secrets.get(NAME)
    assert time.monotonic() - started < 2
    await secrets.close()


async def test_after_a_failure_the_vault_is_left_alone_for_a_while_and_then_longer(
    emulators: Emulators, secrets: Secrets, clock: Clock
) -> None:
    emulators.vault.script_forever({"status": 503})
    asked = []
    for _ in range(12):
        for _ in range(5):
            with pytest.raises(SecretUnavailable):
                await secrets.get(NAME)
        asked.append(len(emulators.vault.requests))
        clock.now += 1.0
    assert asked == [1, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 4], "after one second, two, four, eight"
    emulators.vault.clear_script()
    clock.now += 60
    assert await secrets.get(NAME) == VALUE


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda vault: vault.secrets.clear(), "not_found"),
        (lambda vault: vault.disabled.add(NAME), "denied"),
        (lambda vault: setattr(vault, "role_granted", False), "denied"),
        (lambda vault: vault.secrets.update({NAME: ""}), "not_found"),
    ],
    ids=["deleted", "disabled", "no role", "empty"],
)
async def test_a_value_is_dropped_when_the_vault_itself_says_so(
    emulators: Emulators, secrets: Secrets, clock: Clock, change: Callable[[Any], object], reason: str
) -> None:
    await secrets.get(NAME)
    change(emulators.vault)
    clock.now += LIFE
    with pytest.raises(SecretUnavailable) as caught:
        await secrets.get(NAME)
    assert caught.value.name == NAME
    assert caught.value.reason == reason
    emulators.vault.script_forever({"status": 503})
    clock.now += LIFE
    with pytest.raises(SecretUnavailable):
        await secrets.get(NAME)


async def test_a_role_that_is_granted_late_needs_no_restart(
    emulators: Emulators, secrets: Secrets, clock: Clock
) -> None:
    emulators.vault.role_granted = False
    with pytest.raises(SecretUnavailable, match="denied"):
        await secrets.get(NAME)
    emulators.vault.role_granted = True
    clock.now += 1
    assert await secrets.get(NAME) == VALUE


@pytest.mark.parametrize("name", ["", "a/b", "../certificates/x", "a b", "ä", "x" * 128, "a\n", "a?b=c"])
async def test_a_name_that_no_secret_can_have_reaches_no_vault(
    emulators: Emulators, secrets: Secrets, name: str
) -> None:
    with pytest.raises(SecretUnavailable) as caught:
        await secrets.get(name)
    assert caught.value.reason == "bad_name"
    assert emulators.vault.requests == []


async def test_a_vault_whose_authority_is_not_trusted_gets_no_token(emulators: Emulators, credential: Minting) -> None:
    secrets = Secrets(emulators.vault.url, lambda: cast(Any, credential), development=True)
    with pytest.raises(SecretUnavailable, match="unreachable"):
        await secrets.get(NAME)
    await secrets.close()
    assert emulators.vault.requests == []


async def test_a_redirect_gets_no_token(emulators: Emulators, secrets: Secrets) -> None:
    await secrets.get(NAME)
    emulators.vault.clear()
    emulators.vault.script_forever({"status": 307, "headers": {"location": f"{emulators.vault.url}/elsewhere"}})
    with pytest.raises(SecretUnavailable, match="unreachable"):
        await secrets.get("other")
    assert [one.path for one in emulators.vault.requests] == ["/secrets/other/"]


async def test_no_value_and_no_token_is_ever_told(
    emulators: Emulators, credential: Minting, secrets: Secrets, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    told = [repr(secrets), repr(vars(secrets))]
    await secrets.get(NAME)
    told += [repr(secrets), repr(vars(secrets))]
    faults: list[dict[str, Any]] = [
        {"status": 500, "error": {"code": "x", "message": VALUE}},
        {"status": 404, "error": {"code": "x", "message": VALUE}},
        {"body": VALUE},
        {"reset": "before"},
    ]
    for fault in faults:
        emulators.vault.script_forever(fault)
        clock.now += LIFE
        with contextlib.suppress(SecretUnavailable):
            await secrets.get(NAME)
    emulators.vault.clear_script()
    lose_the_token(emulators, credential)
    clock.now += LIFE
    with pytest.raises(SecretUnavailable) as caught:
        await secrets.get(NAME)
    assert caught.value.__cause__ is caught.value.__context__ is None
    told += [repr(caught.value), str(caught.value)]
    told += [logging.Formatter().format(record) for record in caplog.records]
    assert any(NAME in line for line in told), "the name is told"
    assert not [line for line in told if VALUE in line or "eyJ" in line]


async def test_an_outage_is_logged_once_by_name(
    emulators: Emulators, secrets: Secrets, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    emulators.vault.script_forever({"status": 503})
    for _ in range(4):
        with pytest.raises(SecretUnavailable):
            await secrets.get(NAME)
        clock.now += 100
    own = [record for record in caplog.records if record.name == "app.keyvault"]
    assert [record.getMessage() for record in own] == [f"secret {NAME} cannot be read: unreachable"]


async def test_closing_ends_what_is_under_way_and_closes_the_credential(
    emulators: Emulators, credential: Minting, secrets: Secrets
) -> None:
    emulators.vault.script_forever({"hang": True})
    waiting = asyncio.create_task(secrets.get(NAME))
    await asyncio.to_thread(emulators.vault.wait_requests, 1)
    await secrets.close()
    with pytest.raises(SecretUnavailable):
        await waiting
    with pytest.raises(SecretUnavailable):
        await secrets.get(NAME)
    await secrets.close()
    assert credential.closed
