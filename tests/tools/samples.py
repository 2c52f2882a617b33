"""Tools that several tests use."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import inspect
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from shared.tools.tool import Tool, ToolContext, tool


class Unit(enum.Enum):
    METRIC = "metric"
    IMPERIAL = "imperial"


class Guest(BaseModel):
    """Someone who comes."""

    name: str = Field(min_length=1, description="The full name.")
    age: int = 18


@dataclasses.dataclass
class Point:
    x: float
    y: float


class Circle(BaseModel):
    kind: Literal["circle"]
    radius: float


class Square(BaseModel):
    kind: Literal["square"]
    side: float


class Tree(BaseModel):
    label: str
    children: list[Tree] = []


@tool
def greet(name: str) -> str:
    """Greets someone.

    Args:
        name: Who is greeted.
    """
    return f"Hello, {name}!"


@tool(name="book-table", approval=True, timeout=3)
async def book(
    day: dt.date,
    guests: list[Guest],
    context: ToolContext,
    seats: Annotated[int, Field(ge=1, le=20, description="How many sit.")] = 2,
    note: str | None = None,
    unit: Unit = Unit.METRIC,
    kind: Literal["lunch", "dinner"] = "dinner",
) -> dict[str, Any]:
    """Books a table.

    A person confirms it first.

    Args:
        day: The day of the visit.
        guests (list): Everyone who comes, of whom
            each has a name.
        note: Anything that the kitchen should know.

    Returns:
        What was booked.
    """
    return {"day": day, "guests": guests, "seats": seats, "note": note, "unit": unit, "kind": kind}


def defined(**annotations: Any) -> Tool[..., Any]:
    """A tool whose parameters have these types."""

    def made(**values: Any) -> str:
        """Does something."""
        return repr(values)

    plain = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter(name, plain, annotation=kind) for name, kind in annotations.items()]
    made.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    made.__annotations__ = annotations
    return tool(made)
