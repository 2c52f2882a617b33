"""What does a tool's function take?  Read once, from its signature and docstring, to check every call."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Self, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo
from pydantic_core import to_json

from shared.tools.errors import ToolArgumentsError, ToolDefinitionError
from shared.tools.schema import Schema, UnsupportedSchema, strict

MAX_ARGUMENTS = 100_000
"""The longest arguments that are read, in characters."""

MAX_DESCRIPTION = 1024
"""The longest description of a function that Azure OpenAI takes, in characters."""

_SECTION = re.compile(r"(Args|Arguments|Returns|Raises|Yields|Examples?):")
_ENTRY = re.compile(r"(\w+)(?: *\([^)]*\))?: *(.*)")
_PLAIN = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True, slots=True)
class Signature:
    """A tool's parameters: how the model is told of them, and how its arguments are checked.

    `context` is the name of the parameter that takes the call's context instead of an argument, if there is one.
    """

    description: str
    schema: Schema
    context: str | None
    _model: type[BaseModel]
    _names: Mapping[str, str]
    _defaults: Mapping[str, Any]

    @classmethod
    def of(cls, function: Callable[..., Any], tool: str, context_type: type) -> Self:
        """Reads a function's signature and docstring; `tool` names it in errors.

        Raises:
            ToolDefinitionError: it cannot be offered to a model; the text says what to change.
        """
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise ToolDefinitionError(tool, "it yields, but a tool returns one result.")
        description, documented = _docstring(function, tool)
        parameters, hints = _parameters(function, tool)
        contexts = [name for name in parameters if hints[name] is context_type]
        if len(contexts) > 1:
            raise ToolDefinitionError(tool, f"{' and '.join(contexts)} both ask for the context.")
        if unknown := set(documented) - set(parameters):
            raise ToolDefinitionError(
                tool, f"its docstring describes {', '.join(sorted(unknown))}, which it does not take."
            )
        fields: dict[str, Any] = {}
        names: dict[str, str] = {}
        defaults: dict[str, Any] = {}
        for name in (name for name in parameters if name not in contexts):
            hint, default = hints[name], parameters[name].default
            text = documented.get(name) or _annotated_description(hint)
            settings: dict[str, Any] = {"alias": name}
            if default is not inspect.Parameter.empty:
                hint, settings["default"], defaults[name] = hint | None, None, default
                text = f"{text} Null means the default{_told(default)}.".strip()
            field = f"argument_{len(names)}"
            fields[field] = (hint, Field(**settings, description=text or None))
            names[field] = name
        try:
            model = create_model(tool, __config__=ConfigDict(allow_inf_nan=False), **fields)
            schema = strict(model.model_json_schema())
        except UnsupportedSchema as problem:
            raise ToolDefinitionError(tool, f"{problem}.") from None
        except PydanticUserError as problem:
            raise ToolDefinitionError(
                tool, f"a type of its parameters has no JSON form: {problem.message}"
            ) from problem
        return cls(description, schema, contexts[0] if contexts else None, model, names, defaults)

    def parse(self, arguments: str) -> dict[str, Any]:
        """The values of a call's arguments, by parameter, with the defaults in.

        Raises:
            ToolArgumentsError: they are no JSON, or do not fit. The text is for the model.
        """
        if len(arguments) > MAX_ARGUMENTS:
            raise ToolArgumentsError(f"The arguments are longer than {MAX_ARGUMENTS} characters. Send less.")
        try:
            values = self._model.model_validate_json(arguments, strict=True, extra="forbid")
        except ValidationError as error:
            raise ToolArgumentsError(_explanation(error)) from None
        given = {name: getattr(values, field) for field, name in self._names.items()}
        return {name: self._defaults.get(name) if value is None else value for name, value in given.items()}


def _parameters(function: Callable[..., Any], tool: str) -> tuple[Mapping[str, inspect.Parameter], dict[str, Any]]:
    parameters = inspect.signature(function).parameters
    for name, parameter in parameters.items():
        if parameter.kind not in _PLAIN:
            raise ToolDefinitionError(tool, f"`{parameter}` cannot be named in a call: use plain parameters.")
        if parameter.annotation is inspect.Parameter.empty:
            raise ToolDefinitionError(tool, f"`{name}` has no type.")
    try:
        return parameters, get_type_hints(function, include_extras=True)
    except (NameError, AttributeError, TypeError, SyntaxError) as problem:
        raise ToolDefinitionError(tool, f"a type of its parameters is not known in its module: {problem}.") from problem


def _docstring(function: Callable[..., Any], tool: str) -> tuple[str, dict[str, str]]:
    """What the docstring says of the tool, and of each parameter in its Args section."""
    sections: dict[str, list[str]] = {"": []}
    section = ""
    for line in (inspect.getdoc(function) or "").splitlines():
        if heading := _SECTION.fullmatch(line.rstrip()):
            section = heading[1]
            sections[section] = []
        else:
            sections[section].append(line)
    description = "\n".join(sections[""]).strip()
    if not description:
        raise ToolDefinitionError(tool, "it has no docstring. Its first lines tell the model what it does.")
    if len(description) > MAX_DESCRIPTION:
        raise ToolDefinitionError(tool, f"its description is longer than {MAX_DESCRIPTION} characters.")
    return description, _entries(sections.get("Args") or sections.get("Arguments") or [])


def _entries(lines: list[str]) -> dict[str, str]:
    """The descriptions in an Args section, by name. A line that begins no entry continues the last one."""
    entries: dict[str, str] = {}
    name, indent = "", None
    for line in filter(str.strip, lines):
        depth = len(line) - len(line.lstrip())
        indent = depth if indent is None else indent
        entry = _ENTRY.fullmatch(line.strip()) if depth == indent else None
        name = entry[1] if entry else name
        text = entry[2] if entry else line.strip()
        if name:
            entries[name] = f"{entries.get(name, '')} {text}".strip()
    return entries


def _annotated_description(hint: Any) -> str:
    if get_origin(hint) is not Annotated:
        return ""
    described = [item.description for item in hint.__metadata__ if isinstance(item, FieldInfo) and item.description]
    return described[0] if described else ""


def _told(default: object) -> str:
    return "" if default is None else f", {to_json(default, fallback=str).decode()}"


def _explanation(error: ValidationError) -> str:
    """What is wrong, so that a model can mend it: the path of each field and the rule that it breaks."""
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    if problems[0]["type"] == "json_invalid":
        return f"The arguments are not valid JSON: {problems[0]['msg'].removeprefix('Invalid JSON: ')}."
    lines = [f"- {_path(problem['loc'])}: {problem['msg'][:200]}" for problem in problems[:8]]
    if len(problems) > len(lines):
        lines.append(f"- and {len(problems) - len(lines)} more")
    return "\n".join(["The arguments do not fit the tool's parameters:", *lines])


def _path(location: tuple[int | str, ...]) -> str:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part[:40]}" for part in location[:8])
    return path.removeprefix(".") or "the arguments"
