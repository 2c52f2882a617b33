"""What can go wrong with a tool.

ToolError                    its text is written for the model, which reads it and may try again
├── ToolArgumentsError       the call's arguments are no JSON, or break the tool's schema
└── ToolTimeoutError         the tool took longer than it may
ToolDefinitionError          a tool is written in a way that cannot work: raised when the tools are put
together UnknownToolError             no tool has the name that was asked for
"""

from __future__ import annotations

from collections.abc import Sequence


class ToolError(Exception):
    """A tool's failure that the model should read. Its text goes to the model as it is."""


class ToolArgumentsError(ToolError):
    """The arguments of a call do not fit. The text names each field and what is wrong with it."""


class ToolTimeoutError(ToolError):
    """The tool did not finish in its time."""


class ToolDefinitionError(Exception):
    """A tool's function, signature or docstring cannot be offered to a model."""

    def __init__(self, tool: str, problem: str) -> None:
        self.tool = tool
        super().__init__(f"Tool {tool}: {problem}")


class UnknownToolError(LookupError):
    """Tools were asked for by names that do not exist. `names` are those, `offered` the ones that do."""

    def __init__(self, names: Sequence[str], offered: Sequence[str]) -> None:
        self.names = tuple(names)
        self.offered = tuple(offered)
        super().__init__(f"There is no tool named {', '.join(self.names)}. The tools are: {', '.join(self.offered)}.")
