"""What is a tool?  One typed Python function that the model may call. docs/tools.md shows how to write one."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, overload

from pydantic_core import to_json

from shared.egress import Egress
from shared.tools.errors import ToolDefinitionError, ToolTimeoutError
from shared.tools.errors import ToolError as ToolError
from shared.tools.running import finished
from shared.tools.schema import Schema
from shared.tools.signature import Signature

P = ParamSpec("P")
R = TypeVar("R", covariant=True)

DEFAULT_TIMEOUT = 10.0
"""How long a tool may take, in seconds, when it does not say."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class SecretReader(Protocol):
    """Where a tool's secrets come from."""

    async def get(self, name: str) -> str:
        """The secret's value now."""


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What a tool is given besides its arguments, when a parameter of it has this type.

    `caller` is who asked, as the platform authenticated them, or None. `deadline` is when the answer is of no
    more use, in seconds of `time.monotonic()`. `http` reaches the tool's own `origins` and nothing else.
    `call_id` is the id of the model's call: a call that is carried out once more has the same.
    """

    caller: str | None
    deadline: float
    secrets: SecretReader
    http: Egress
    call_id: str = ""

    def remaining(self) -> float:
        """Seconds to the deadline, never below zero."""
        return max(0.0, self.deadline - time.monotonic())


@dataclass(frozen=True, slots=True, eq=False)
class Tool(Generic[P, R]):
    """A function that the model may call. Calling the tool itself calls the function, as its tests do.

    `parameters` is the strict JSON schema. `approval` says that a person decides before it runs. `timeout` is
    in seconds. `origins` are the only places that its HTTP client reaches.
    """

    name: str
    description: str
    parameters: Schema
    approval: bool
    timeout: float
    origins: tuple[str, ...]
    call: Callable[P, R] = field(repr=False)
    signature: Signature = field(repr=False)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.call(*args, **kwargs)

    @property
    def wants_context(self) -> bool:
        """Whether a parameter takes the context."""
        return self.signature.context is not None

    def definition(self) -> dict[str, Any]:
        """The tool as the Responses API takes it, in `tools`."""
        return {
            "type": "function",
            "name": self.name,
            "description": self.description,
            "parameters": self.parameters,
            "strict": True,
        }

    def parse(self, arguments: str) -> dict[str, Any]:
        """The values of a call's arguments, by parameter.

        Raises:
            ToolArgumentsError: they are no JSON, or break the schema.
        """
        return self.signature.parse(arguments)

    async def run(self, arguments: str, context: ToolContext) -> str:
        """Runs the tool on a call's arguments. A text is its own result, anything else is told in JSON.

        Raises:
            ToolError: for the model to read: bad arguments, no time left, or what the tool says itself.
            Exception: whatever else the function raises, as RuntimeError if it is no Exception; its text is for nobody
            but the log.
        """
        values = self.parse(arguments)
        seconds = min(self.timeout, context.remaining())
        if seconds <= 0:
            raise ToolTimeoutError(f"There was no time left for {self.name}.")
        if self.signature.context:
            values[self.signature.context] = replace(
                context, deadline=time.monotonic() + seconds, http=context.http.only(self.origins)
            )
        return _text(await finished(self.name, self.call, values, seconds))


@overload
def tool(function: Callable[P, R], /) -> Tool[P, R]: ...


@overload
def tool(
    *,
    name: str | None = None,
    approval: bool = False,
    timeout: float = DEFAULT_TIMEOUT,
    origins: Sequence[str] = (),
) -> Callable[[Callable[P, R]], Tool[P, R]]: ...


def tool(
    function: Callable[P, R] | None = None,
    /,
    *,
    name: str | None = None,
    approval: bool = False,
    timeout: float = DEFAULT_TIMEOUT,
    origins: Sequence[str] = (),
) -> Tool[P, R] | Callable[[Callable[P, R]], Tool[P, R]]:
    """Makes a typed, documented function a tool: `@tool` alone, or with arguments.

    The docstring's first lines tell the model what the tool does, and its Args section what each parameter means (or
    `Annotated[int, Field(description="…")]` does). A parameter with a default is optional. See `Tool` for the rest.

    Raises:
        ToolDefinitionError: the function cannot be offered to a model; the text names it and says what to change.
    """

    def made(function: Callable[P, R]) -> Tool[P, R]:
        called = name or str(getattr(function, "__name__", function))
        if not _NAME.fullmatch(called):
            raise ToolDefinitionError(called, "its name must be 1 to 64 of A-Z, a-z, 0-9, _ and -.")
        if timeout <= 0:
            raise ToolDefinitionError(called, "its timeout must be above zero.")
        signature = Signature.of(function, called, ToolContext)
        return Tool(
            name=called,
            description=signature.description,
            parameters=signature.schema,
            approval=approval,
            timeout=timeout,
            origins=tuple(origins),
            call=function,
            signature=signature,
        )

    return made if function is None else made(function)


def _text(result: object) -> str:
    if isinstance(result, str):
        return result.encode("utf-8", "replace").decode()
    return to_json(result, inf_nan_mode="strings").decode()
