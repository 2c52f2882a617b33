"""Which tools may the agent use?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Self

from shared.tools.errors import ToolDefinitionError, UnknownToolError
from shared.tools.tool import Tool


class Toolbox:
    """Tools by name, in the order in which they were listed."""

    def __init__(self, tools: Iterable[Tool[..., Any]]) -> None:
        """Puts tools together.

        Raises:
            ToolDefinitionError: two have one name, or something is no tool.
        """
        self._tools: dict[str, Tool[..., Any]] = {}
        for tool in tools:
            if not isinstance(tool, Tool):
                raise ToolDefinitionError(
                    getattr(tool, "__name__", repr(tool)), "it is no tool: decorate it with @tool."
                )
            if tool.name in self._tools:
                raise ToolDefinitionError(tool.name, "two tools have this name.")
            self._tools[tool.name] = tool

    def __iter__(self) -> Iterator[Tool[..., Any]]:
        return iter(self._tools.values())

    def __len__(self) -> int:
        return len(self._tools)

    def __contains__(self, name: object) -> bool:
        return name in self._tools

    @property
    def names(self) -> tuple[str, ...]:
        """The tools' names."""
        return tuple(self._tools)

    @property
    def origins(self) -> frozenset[str]:
        """Every place that some tool may reach: what the HTTP client of them all is made for."""
        return frozenset(origin for tool in self for origin in tool.origins)

    def get(self, name: str) -> Tool[..., Any] | None:
        """The tool of that name, or None."""
        return self._tools.get(name)

    def subset(self, names: Iterable[str]) -> Self:
        """Only the named tools, in this box's order.

        Raises:
            UnknownToolError: a name is none of this box's.
        """
        wanted = list(dict.fromkeys(names))
        if unknown := [name for name in wanted if name not in self._tools]:
            raise UnknownToolError(unknown, self.names)
        return type(self)(tool for tool in self if tool.name in wanted)

    def definitions(self) -> list[dict[str, Any]]:
        """The tools as the Responses API takes them."""
        return [tool.definition() for tool in self]
