"""`python -m dev doctor`: the ladder of shared/readiness.py, printed as it is climbed."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from dev.explain import Scenario, scenarios
from dev.host import AZURE_MARKS, environment
from dev.localsettings import BadSettings, LocalSettings
from dev.start import DEFAULTS, addresses, set_only, start_emulators, wants_emulators
from shared.reach import Place
from shared.readiness import Report, Rung, climb
from shared.settings import Settings
from shared.worker import Worker

MARKS = {"ok": "✓", "failed": "✗", "skipped": "·"}
PLAIN_MARKS = {"ok": "ok", "failed": "XX", "skipped": "--"}
INTERVAL, LONGEST_WAIT = 15.0, 900.0
"""Seconds between two tries with --wait, and after which it gives up: a role takes up to ten minutes as a rule."""


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command to the command line."""
    doctor = commands.add_parser(
        "doctor", help="say what works and what does not, from the settings to each deployment"
    )
    doctor.add_argument("--explain", action="store_true", help="say which way of signing in applies here, and why")
    doctor.add_argument("--json", action="store_true", help="print one JSON document")
    doctor.add_argument("--wait", action="store_true", help="try again until it works")
    doctor.add_argument("--interval", type=float, default=INTERVAL, help="seconds between tries (default: %(default)g)")
    doctor.add_argument(
        "--max-wait", type=float, default=LONGEST_WAIT, help="seconds until it gives up (default: %(default)g)"
    )
    emulated = doctor.add_mutually_exclusive_group()
    emulated.add_argument("--emulators", action="store_true", help="examine the app against emulators of its own")
    emulated.add_argument("--no-emulators", action="store_true", help="never start the emulators")
    doctor.set_defaults(run=examine)


@dataclass(frozen=True)
class Waiting:
    """How to wait: the clock and the sleep, in seconds."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


def examine(arguments: argparse.Namespace, waiting: Waiting | None = None) -> int:
    """Runs the doctor. Returns the exit code: 1 when a rung is broken, 2 when that is the settings'."""
    with _quiet_logs(), ExitStack() as running:
        try:
            local = LocalSettings.find(Path.cwd())
        except BadSettings as error:
            print(error, file=sys.stderr)
            return 2
        environ = set_only({**DEFAULTS, **local.values, **os.environ})
        for mark in AZURE_MARKS:
            environ.pop(mark, None)
        emulated = arguments.emulators or (
            not arguments.no_emulators and wants_emulators(environ) and not _answers(environ)
        )
        if emulated:
            emulators = running.enter_context(start_emulators(environ))
            environ = {**emulators.environ(), **environ, **addresses(emulators)}
        # azure-identity reads the platform's variables from the process itself.
        running.enter_context(environment({**dict.fromkeys(AZURE_MARKS), **environ}))
        settings = Settings.from_env(environ)
        sheet = Json() if arguments.json else Print(sys.stdout)
        sheet.begin(local.source.name if local.source else "", emulated=emulated)
        if arguments.explain:
            sheet.explain(scenarios(settings, environ))
        try:
            report = asyncio.run(_until_well(settings, arguments, sheet, waiting or Waiting()))
        except KeyboardInterrupt:
            print("\nStopped.", file=sys.stderr)
            return 1
        sheet.end(report)
        if report.broken is None:
            return 0
        return 2 if report.broken.name == "settings" else 1


async def _until_well(settings: Settings, arguments: argparse.Namespace, sheet: Sheet, waiting: Waiting) -> Report:
    give_up = waiting.clock() + arguments.max_wait
    while True:
        report = await _climb(settings, sheet)
        broken, pause = report.broken, arguments.interval
        # What is set does not change by waiting.
        over = broken is None or broken.name == "settings" or not arguments.wait
        if over or waiting.clock() + pause > give_up:
            return report
        sheet.wait(pause)
        await waiting.sleep(pause)


async def _climb(settings: Settings, sheet: Sheet) -> Report:
    # A worker of its own for each try: it sees the mistakes of the tools too, and keeps no token of the last try.
    worker = Worker(settings)
    rungs = []
    try:
        services = None if worker.settings.mistakes else worker.services
        async for rung in climb(worker.settings, services, deployments=True):
            sheet.rung(rung)
            rungs.append(rung)
    finally:
        await worker.close()
    return Report(tuple(rungs))


class Sheet:
    """What the doctor writes down. This one writes nothing."""

    def begin(self, source: str, *, emulated: bool) -> None:
        """Where the settings come from, and whether Azure is emulated."""

    def explain(self, found: list[Scenario]) -> None:
        """The ways to sign in, and which applies."""

    def rung(self, rung: Rung) -> None:
        """One rung, as soon as it was tried."""

    def wait(self, seconds: float) -> None:
        """It will be tried again."""

    def end(self, report: Report) -> None:
        """All was tried."""


class Print(Sheet):
    """For a person, line by line."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        encoding = out.encoding or "ascii"
        try:
            "".join(MARKS.values()).encode(encoding)
            self._marks = MARKS
        except UnicodeEncodeError:
            self._marks = PLAIN_MARKS

    def begin(self, source: str, *, emulated: bool) -> None:
        """The first line."""
        self._say(f"Settings: the environment{f' over {source}' if source else ''}.")
        if emulated:
            self._say("Azure: the local emulators, started for this.")
        self._say()

    def explain(self, found: list[Scenario]) -> None:
        """A line for each way, and one for the reason."""
        self._say("Ways to sign in to Azure OpenAI:")
        for one in found:
            mark = self._marks["ok" if one.state == "applies" else "skipped"]
            self._say(f"  {mark} {one.name}: {one.verdict}")
            self._say(f"      {one.why}")
        self._say()

    def rung(self, rung: Rung) -> None:
        """A line, and below a broken one what it means and what mends it."""
        of = f" {rung.of}" if rung.of else ""
        self._say(f"{self._marks[rung.state]} {rung.name}{of}: {rung.found}")
        if rung.state == "failed":
            self._say(f"    {rung.meaning}")
            for mend in rung.mend:
                self._say(f"    # {mend.why}")
                self._say(f"    {mend.command}")

    def wait(self, seconds: float) -> None:
        """When the next try is."""
        self._say(f"\nTrying again in {seconds:g} seconds; Ctrl-C ends it.\n")

    def end(self, report: Report) -> None:
        """The verdict."""
        broken = report.broken
        if broken is None:
            self._say("\nAll is well.")
        else:
            self._say(f"\nBroken: {broken.name}{f' {broken.of}' if broken.of else ''}.")

    def _say(self, line: str = "") -> None:
        print(line, file=self._out, flush=True)


@dataclass
class Json(Sheet):
    """For a program, in one document at the end."""

    document: dict[str, Any] = field(default_factory=lambda: {"tries": 1, "waited": 0})

    def begin(self, source: str, *, emulated: bool) -> None:
        """Notes both."""
        self.document |= {"settings": source or None, "emulated": emulated}

    def explain(self, found: list[Scenario]) -> None:
        """Notes them."""
        self.document["sign_in"] = [one.told() for one in found]

    def wait(self, seconds: float) -> None:
        """Counts the tries, and the seconds between them."""
        self.document["tries"] += 1
        self.document["waited"] += seconds

    def end(self, report: Report) -> None:
        """Prints the document."""
        print(json.dumps({**self.document, **report.told()}, indent=2, ensure_ascii=False), flush=True)


def _answers(environ: Mapping[str, str]) -> bool:
    """Does something listen at the endpoint, as the emulators of `make start` in another terminal do?"""
    endpoint = environ.get("AZURE_OPENAI_ENDPOINT")
    if not endpoint:
        return False
    try:
        place = Place.of(endpoint)
        with socket.create_connection((place.host, place.port), timeout=1):
            return True
    except (OSError, ValueError):
        return False


@contextmanager
def _quiet_logs() -> Iterator[None]:
    """The ladder says it all; without a handler warnings would go to stderr."""
    handler = logging.NullHandler()
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
