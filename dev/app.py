"""The app that a host serves: `function_app.py`, loaded fresh as the worker loads it, checked, and closed."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import module_from_spec
from pathlib import Path
from types import CodeType, ModuleType

from dev import rules
from dev.rules import Function, Violation

MODULE = "function_app"

log = logging.getLogger("dev.app")


class HostError(Exception):
    """The host cannot serve this app. `str()` is for a person to read."""


class LoadFailed(HostError):
    """`function_app.py` is not there, or raised while it was imported (`__cause__`)."""


class RulesBroken(HostError):
    """The Functions worker would not load this app."""

    def __init__(self, violations: list[Violation]) -> None:
        lines = "".join(f"\n  {violation}" for violation in violations)
        super().__init__(f"the Functions worker would not load this app:{lines}")
        self.violations = violations


class Misconfigured(HostError):
    """The app loaded, and says that its settings are wrong."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("these settings are wrong:" + "".join(f"\n  {mistake}" for mistake in mistakes))
        self.mistakes = mistakes


class _Uncached(SourceFileLoader):
    """Reads the source every time: bytecode goes by seconds, and a file may change twice in one."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code


@dataclass(frozen=True)
class App:
    """A loaded app that breaks no rule."""

    functions: tuple[Function, ...]
    mistakes: tuple[str, ...]
    """What its `worker.settings.mistakes` says, if it has such."""
    module: ModuleType

    @classmethod
    def load(cls, path: Path) -> App:
        """Imports and checks `path`. Call it on the running loop, as the worker does, in `importable(path)`.

        Raises:
            LoadFailed, RulesBroken: see there.
        """
        if not path.is_file():
            raise LoadFailed(f"there is no {path.name} in {path.parent}")
        loader = _Uncached(MODULE, str(path))
        module = module_from_spec(ModuleSpec(MODULE, loader, origin=str(path)))
        module.__file__ = str(path)
        sys.modules[MODULE] = module
        try:
            loader.exec_module(module)
        except (Exception, SystemExit) as error:
            raise LoadFailed(f"{path.name} cannot be imported: {type(error).__name__}: {error}") from error
        functions, violations = rules.check(module, path)
        if violations:
            raise RulesBroken(violations)
        settings = getattr(getattr(module, "worker", None), "settings", None)
        mistakes = tuple(str(mistake) for mistake in getattr(settings, "mistakes", ()))
        return cls(tuple(functions), mistakes, module)

    async def close(self) -> None:
        """Awaits `worker.close()` of the module, if it has such.

        The platform has no such hook, so an app must not depend on it; here it keeps a process of many hosts
        tidy.
        """
        close = getattr(getattr(self.module, "worker", None), "close", None)
        if close is None:
            return
        try:
            async with asyncio.timeout(5):
                await close()
        except Exception:
            log.exception("the app's worker.close() failed")


@contextmanager
def importable(path: Path) -> Iterator[None]:
    """Makes the app's folder importable and its module known by its name, as in the worker."""
    folder, before = str(path.parent), sys.modules.get(MODULE)
    added = folder not in sys.path
    if added:
        sys.path.insert(0, folder)
    try:
        yield
    finally:
        if added:
            sys.path.remove(folder)
        sys.modules.pop(MODULE, None)
        if before is not None:
            sys.modules[MODULE] = before
