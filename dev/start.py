"""`python -m dev start` and `python -m dev emulators`: the app and its emulators on this machine, until Ctrl-C."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from dev.emulator import Emulators
from dev.host import Host, HostError, LoadFailed, Misconfigured, PortTaken
from dev.localsettings import EXAMPLE, FILE, BadSettings, LocalSettings
from dev.stop import StopSignal
from shared.models import ModelMap
from shared.settings import Settings

IDENTITY_PORT, OPENAI_PORT = 7072, 7073
"""The ports that the example settings name."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")
DEFAULTS = {"AZURE_FUNCTIONS_ENVIRONMENT": "Development", "FUNCTIONS_WORKER_RUNTIME": "python"}
"""What Core Tools sets."""
log = logging.getLogger("dev.start")

PACE = 0.02
"""Seconds between the words of an emulated stream, so that a person sees it stream."""


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds both commands to the command line."""
    start = commands.add_parser("start", help="serve the app, with emulators of Azure unless it is set to a real one")
    start.add_argument("--port", type=int, default=os.environ.get("PORT") or "7071", help="default: 7071")
    start.add_argument("--no-emulators", action="store_true", help="never start the emulators")
    start.add_argument("--enforce-auth", action="store_true", help="ask for a function key, as Azure does")
    start.add_argument("--key", help="the key that is then accepted (default: a new one, printed)")
    start.set_defaults(run=serve)
    emulators = commands.add_parser("emulators", help="serve only the emulators, for `func start`")
    emulators.add_argument("--identity-port", type=int, default=IDENTITY_PORT, help="default: %(default)s")
    emulators.add_argument("--openai-port", type=int, default=OPENAI_PORT, help="default: %(default)s")
    emulators.set_defaults(run=emulate)


def serve(arguments: argparse.Namespace) -> int:
    """Runs the app until asked to stop. Returns the exit code: 1 when it cannot serve, 2 when misconfigured."""
    folder = Path.cwd()
    with plain_logs(), StopSignal() as stop, ExitStack() as running:
        try:
            local = LocalSettings.find(folder)
            for warning in local.warnings():
                log.warning("%s", warning)
            settings = set_only({**DEFAULTS, **local.values, **os.environ})
            emulators = None
            if not arguments.no_emulators and wants_emulators(settings):
                emulators = running.enter_context(start_emulators(settings))
                settings = {**emulators.environ(), **settings, **addresses(emulators)}
            host = Host.start(
                {name: value for name, value in settings.items() if os.environ.get(name) != value},
                port=arguments.port,
                path=folder / "function_app.py",
                enforce_auth=arguments.enforce_auth,
                key=arguments.key,
                cors=local.cors,
            )
            running.enter_context(host)
        except PortTaken as error:
            return _fail(f"{error}; stop what uses it, or take another: make start PORT={error.port + 10}")
        except Misconfigured as error:
            return _fail(f"{error}\nThey come from the environment and from {FILE}.", code=2)
        except (HostError, BadSettings) as error:
            if error.__cause__ is not None and isinstance(error, LoadFailed):
                traceback.print_exception(error.__cause__)
            return _fail(str(error))
        key = host.key if arguments.enforce_auth else None
        print(_welcome(host.url, emulators, settings, key), flush=True)
        stop.wait()
    print("\nStopped.", flush=True)
    return 0


def emulate(arguments: argparse.Namespace) -> int:
    """Runs the emulators alone, on the ports that the example settings name, until asked to stop."""
    with plain_logs(), StopSignal() as stop:
        try:
            local = LocalSettings.find(Path.cwd())
            emulators = Emulators.start(arguments.identity_port, arguments.openai_port)
        except BadSettings as error:
            return _fail(str(error))
        except OSError:
            ports = f"{arguments.identity_port} or {arguments.openai_port}"
            return _fail(f"port {ports} is in use; do the emulators run already?")
        with emulators:
            _prepare(emulators, set_only({**local.values, **os.environ}))
            print("The emulators of Azure run. An app uses them with these settings:\n")
            for name, value in emulators.environ().items():
                print(f"  {name}={value}")
            print("\nCtrl-C stops them.", flush=True)
            stop.wait()
    print("\nStopped.", flush=True)
    return 0


def set_only(environ: Mapping[str, str]) -> dict[str, str]:
    """What is set; an empty value counts as absent, as the app has it."""
    return {name: value for name, value in environ.items() if value}


def wants_emulators(settings: Mapping[str, str]) -> bool:
    """Is every resource either not set, or at the example's address? Another one of this machine is someone's own."""
    wanted = Settings.from_env(settings)
    listed = [one for name, model in wanted.models.items() for one in model.listed(name)]
    endpoints = {
        wanted.endpoint,
        *(model.endpoint for model in wanted.models.values()),
        *(one.endpoint for one in listed),
    }
    return all(_place(one) in [(host, OPENAI_PORT) for host in LOOPBACK] for one in endpoints if one)


def _place(address: str) -> tuple[str | None, int | None]:
    """Host and port; neither when it is no address, which the app itself tells."""
    try:
        parts = urlsplit(address)
        return parts.hostname, parts.port
    except ValueError:
        return None, None


def start_emulators(settings: Mapping[str, str]) -> Emulators:
    """Running ones; on their usual ports if both are free, so that bookmarks and scripts keep working."""
    try:
        emulators = Emulators.start(IDENTITY_PORT, OPENAI_PORT)
    except OSError:
        emulators = Emulators.start()
    _prepare(emulators, settings)
    return emulators


def _prepare(emulators: Emulators, settings: Mapping[str, str]) -> None:
    """Has the emulators know the identity and the deployments that the settings name."""
    emulators.openai.pace = PACE
    emulators.identity.header = settings.get("IDENTITY_HEADER") or emulators.identity.header
    if client_id := settings.get("AZURE_CLIENT_ID"):
        emulators.identity.client_ids.add(client_id)
    wanted = Settings.from_env(settings)
    models = ModelMap.from_settings(wanted).models.values() if wanted.models or wanted.deployment else ()
    for model in models:
        names = {deployment.name for deployment in model.deployments}
        emulators.openai.deployments |= names
        emulators.openai.reasoning |= names if model.family == "reasoning" else set()
    emulators.remember()


def addresses(emulators: Emulators) -> dict[str, str]:
    """Where the emulators are, which may not be where the settings expect them."""
    return {
        name: value
        for name, value in emulators.environ().items()
        if name in ("AZURE_OPENAI_ENDPOINT", "IDENTITY_ENDPOINT", "IDENTITY_HEADER")
    }


def _welcome(url: str, emulators: Emulators | None, settings: Mapping[str, str], key: str | None) -> str:
    header = f" -H 'x-functions-key: {key}'" if key else ""
    curl = f"curl -N {url}/api/chat{header} -H 'content-type: application/json' -d"
    lines = [f"The app runs at {url}"]
    if emulators is None:
        endpoint = Settings.from_env(settings).endpoint
        lines.append(f"Azure OpenAI: {endpoint or 'where MODELS says'}")
        identity = settings.get("IDENTITY_ENDPOINT")
        if identity and _place(identity)[0] in LOOPBACK and _place(endpoint)[0] not in LOOPBACK:
            lines.append("Azure refuses the emulated identity's tokens. To sign in as yourself, remove")
            lines.append(f"IDENTITY_ENDPOINT and IDENTITY_HEADER from {FILE}.")
        if _place(endpoint)[0] in LOOPBACK:
            lines.append(f"(no emulators: they start where AZURE_OPENAI_ENDPOINT is empty or has port {OPENAI_PORT})")
    else:
        lines.append(f"Azure OpenAI: emulated at {emulators.openai.url}, and the identity at {emulators.identity.url}")
        lines.append(f"(for a real one: cp {EXAMPLE} {FILE}, and set AZURE_OPENAI_ENDPOINT there)")
    lines += [
        "",
        "Try, in another terminal:",
        f"  curl {url}/api/health",
        f"""  {curl} '{{"messages":[{{"role":"user","content":"Hello"}}]}}'""",
        f"""  {curl} '{{"messages":[{{"role":"user","content":"Hello"}}],"stream":true}}'""",
        "",
        "Ctrl-C stops it.",
    ]
    return "\n".join(lines)


@contextmanager
def plain_logs() -> Iterator[None]:
    """Lines of the app and of this host on stderr; of libraries only warnings."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    # The host prints these itself, in one piece, and stops.
    handler.addFilter(lambda record: not str(record.msg).startswith("misconfigured"))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    try:
        yield
    finally:
        root.setLevel(level)
        root.removeHandler(handler)


def _fail(reason: str, code: int = 1) -> int:
    print(reason, file=sys.stderr, flush=True)
    return code
