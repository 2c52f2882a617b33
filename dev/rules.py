"""The Functions worker's rules for an app, so that what loads on this host loads in Azure.

The Python worker refuses the whole app when one function breaks a rule, at times with no word of which; here
every breach is named at once. The rules follow azure-functions-runtime 1.3 (`loader.py`, `functions.py`) and
the host's own checks of names and routes. House rules, which the worker does not have, say so in their message.
"""

from __future__ import annotations

import ast
import inspect
import re
import typing
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import azure.functions as func
from azure.functions.decorators.core import AuthLevel
from azurefunctions.extensions.base import RequestTrackerMeta, ResponseTrackerMeta

from dev import routes
from dev.routes import Route

EXTENSION = "azurefunctions.extensions.http.fastapi"
BUFFERS = "without it the worker takes the classic types and buffers every answer"
SERVED = ("httpTrigger", "warmupTrigger")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,127}")

Handler = Callable[..., Awaitable[Any]]


@dataclass(frozen=True)
class Function:
    """One function of the app, ready to be called."""

    name: str
    handler: Handler
    binding: str
    """The parameter that takes the trigger's data (`req`)."""
    needs_context: bool
    route: Route | None
    """None for a warm-up trigger."""
    auth_level: str
    """`anonymous`, `function` or `admin`."""
    directory: str


@dataclass(frozen=True)
class Violation:
    """One broken rule: where (a function's name, or the file's) and what."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def check(module: ModuleType, file: Path) -> tuple[list[Function], list[Violation]]:
    """The functions of a loaded `function_app.py`, and every rule that it breaks."""
    violations = [] if _imports_extension(file) else [Violation(file.name, f"must import {EXTENSION}; {BUFFERS}")]
    apps = [name for name in dir(module) if isinstance(getattr(module, name), func.FunctionRegister)]
    if len(apps) != 1:
        found = f"found {', '.join(apps)}" if apps else "found none"
        violations.append(Violation(file.name, f"needs exactly one module-level FunctionApp; {found}"))
    functions: list[Function] = []
    seen: dict[str, str] = {}
    for app in {id(getattr(module, name)): getattr(module, name) for name in apps}.values():
        if app.functions_bindings is not None:
            violations.append(
                Violation(file.name, "must not call get_functions(), as the worker's own call then fails")
            )
        for builder in app._function_builders:  # noqa: SLF001 - get_functions() stops at the first fault
            function, faults = _function(builder, app.auth_level)
            name = function.name if function else str(builder._function.get_function_name())  # noqa: SLF001
            if name.lower() in seen:
                faults.append("this function name is there twice; names must be unique")
            seen[name.lower()] = name
            violations += [Violation(name, fault) for fault in faults]
            if function is not None and not faults:
                functions.append(function)
    violations += _overlaps(functions)
    if not functions and not violations:
        violations.append(Violation(file.name, "has no functions"))
    return functions, violations


def _imports_extension(file: Path) -> bool:
    # By its source: this host has imported the extension itself, so the modules loaded tell nothing.
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return any(
        (isinstance(node, ast.ImportFrom) and node.module == EXTENSION)
        or (isinstance(node, ast.Import) and any(alias.name == EXTENSION for alias in node.names))
        for node in ast.walk(tree)
    )


def _function(builder: Any, auth_level: AuthLevel) -> tuple[Function | None, list[str]]:
    try:
        built = builder.build(auth_level)
    except ValueError as error:
        return None, [str(error)]
    name, handler, trigger = str(built.get_function_name()), built.get_user_function(), built.get_trigger()
    faults: list[str] = []
    if not _NAME.fullmatch(name) or name.lower() == "host":
        faults.append("is no function name: letters, digits, '-' and '_', a letter first, at most 128, not 'host'")
    kind = trigger.get_binding_name()
    if kind not in SERVED:
        faults.append(f"has a {kind}; this host serves only {' and '.join(SERVED)}")
        return None, faults
    if not inspect.iscoroutinefunction(handler):
        faults.append("must be a coroutine function (async def); a house rule, others block or buffer")
    needs_context, signature_faults = _signature(built, handler)
    faults += signature_faults
    route = None
    if kind == "httpTrigger":
        try:
            route = routes.parse(name, trigger.route, [str(method) for method in trigger.methods or ()])
        except ValueError as error:
            faults.append(str(error))
    level = getattr(trigger, "auth_level", None) or AuthLevel.FUNCTION
    return (
        Function(
            name=name,
            handler=handler,
            binding=trigger.name,
            needs_context=needs_context,
            route=route,
            auth_level=str(level).lower(),
            directory=str(Path(inspect.getfile(handler)).parent),
        ),
        faults,
    )


def _signature(built: Any, handler: Handler) -> tuple[bool, list[str]]:
    faults: list[str] = []
    try:
        hints = typing.get_type_hints(handler)
    except Exception as error:  # noqa: BLE001 - evaluating an annotation can raise anything
        return False, [f"typing.get_type_hints fails on its annotations: {type(error).__name__}: {error}"]
    parameters = set(inspect.signature(handler).parameters)
    bindings = {binding.name: binding for binding in built.get_bindings() if binding.name != "$return"}
    needs_context = "context" in parameters and "context" not in bindings
    if needs_context:
        parameters.discard("context")
        hint = hints.get("context")
        if hint is not None and getattr(hint, "__name__", "") != "Context":
            faults.append(f"parameter 'context' must be azure.functions.Context or unannotated, not {_shown(hint)}")
    faults += [
        f"parameter {name!r} is no binding: a handler takes its bindings and 'context', nothing else"
        for name in sorted(parameters - set(bindings))
    ]
    faults += [f"binding {name!r} is no parameter of the function" for name in sorted(set(bindings) - parameters)]
    for name in sorted(parameters & set(bindings)):
        if bindings[name].type == "httpTrigger" and name in hints and not RequestTrackerMeta.check_type(hints[name]):
            faults.append(f"parameter {name!r} must be {EXTENSION}.Request or unannotated, not {_shown(hints[name])}")
    is_http = any(binding.type == "httpTrigger" for binding in built.get_bindings())
    if is_http and "return" in hints and not ResponseTrackerMeta.check_type(hints["return"]):
        faults.append(f"return annotation must be one response class or absent, not {_shown(hints['return'])}")
    return needs_context, faults


def _overlaps(functions: list[Function]) -> list[Violation]:
    routed = [(function.name, function.route) for function in functions if function.route is not None]
    return [
        Violation(name, f"has the route ({route.template}) and a method of {other!r}, which hides it")
        for index, (name, route) in enumerate(routed)
        for other, earlier in routed[:index]
        if route.overlaps(earlier)
    ]


def _shown(annotation: Any) -> str:
    if isinstance(annotation, type) and not typing.get_args(annotation):
        return "None" if annotation is type(None) else f"{annotation.__module__}.{annotation.__qualname__}"
    return str(annotation)
