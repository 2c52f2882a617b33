"""A function that cannot be a tool is refused, by name, before any model sees it."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from shared.tools.errors import ToolDefinitionError
from shared.tools.tool import ToolContext, tool
from tests.tools.samples import defined, greet


def undocumented(x: int) -> int:
    return x


def only_sections(x: int) -> int:
    """Args:
    x: A number.
    """
    return x


def untyped(x) -> int:  # type: ignore[no-untyped-def]
    """Does something."""
    return int(x)


def many(*x: int) -> int:
    """Does something."""
    return len(x)


def named(**x: int) -> int:
    """Does something."""
    return len(x)


def positional(x: int, /) -> int:
    """Does something."""
    return x


def two_contexts(a: ToolContext, b: ToolContext) -> None:
    """Does something."""


def stale(x: int) -> int:
    """Does something.

    Args:
        y: Was renamed.
    """
    return x


def unresolved(x: Nowhere) -> None:  # type: ignore[name-defined]  # noqa: F821
    """Does something."""


def generator(x: int) -> Any:
    """Does something."""
    yield x


async def async_generator(x: int) -> Any:
    """Does something."""
    yield x


def wordy(x: int) -> None:
    """Does something."""


wordy.__doc__ = "word " * 300


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (undocumented, "no docstring"),
        (only_sections, "no docstring"),
        (untyped, "`x` has no type"),
        (many, r"`\*x: .*int.*` cannot be named"),
        (named, r"`\*\*x: .*int.*` cannot be named"),
        (positional, "`x: .*int.*` cannot be named"),
        (two_contexts, "a and b both ask for the context"),
        (stale, "describes y, which it does not take"),
        (unresolved, "Nowhere"),
        (generator, "yields"),
        (async_generator, "yields"),
        (wordy, "longer than 1024"),
    ],
)
def test_a_function_that_cannot_be_a_tool_is_refused_by_name(function: Any, problem: str) -> None:
    with pytest.raises(ToolDefinitionError, match=f"Tool {function.__name__}: .*{problem}") as caught:
        tool(function)
    assert caught.value.tool == function.__name__


@pytest.mark.parametrize(
    "annotation",
    [
        *(Any, object, dict, dict[str, int], list, list[Any], tuple[int, str], set, bytes | dict[str, str]),
        *(threading.Lock, type, "list[dict[str, int]]"),
    ],
    ids=str,
)
def test_a_type_that_models_cannot_be_told_strictly_is_refused_by_name(annotation: Any) -> None:
    with pytest.raises(ToolDefinitionError, match="Tool made: "):
        defined(x=annotation)


@pytest.mark.parametrize("name", ["", "a b", "ä", "x" * 65, "a.b"])
def test_a_name_that_the_api_refuses_is_refused_here(name: str) -> None:
    with pytest.raises(ToolDefinitionError, match="its name must be"):
        tool(name=name or "<lambda>")(lambda: None)


def test_a_timeout_must_be_above_zero() -> None:
    with pytest.raises(ToolDefinitionError, match="Tool greet: its timeout"):
        tool(name="greet", timeout=0)(greet.call)
