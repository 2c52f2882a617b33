"""Reads a folder of Bicep files far enough to ask what it declares.

The grammar is tree-sitter-bicep. Expressions stay text: what a policy wants to know of one is nearly always
which names, literals and calls stand in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import tree_sitter_bicep
from tree_sitter import Language, Node, Parser

PARSER = Parser(Language(tree_sitter_bicep.language()))
COMMENTS = {"comment", "diagnostic_comment"}
COMMENT = re.compile(r"'(?:\\.|[^'\\\n])*'|//[^\n]*|/\*.*?\*/", re.DOTALL)


def text_of(node: Node) -> str:
    return (node.text or b"").decode("utf-8")


def parts(node: Node) -> list[Node]:
    """The named children, without the comments."""
    return [child for child in node.named_children if child.type not in COMMENTS]


def walk(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from walk(child)


def literal(node: Node) -> str | None:
    """The content of a string without interpolation, else None."""
    if node.type != "string" or any(child.type == "interpolation" for child in node.children):
        return None
    return text_of(node)[1:-1].replace("\\'", "'")


def flat(text: str) -> str:
    """An expression on one line, so that it can be compared."""
    return re.sub(r"\s+", " ", text).strip()


@dataclass(frozen=True)
class Object:
    """An object literal: what it sets, by dotted path."""

    node: Node

    @cached_property
    def members(self) -> dict[str, Node]:
        found = {}
        for prop in parts(self.node):
            if prop.type == "object_property" and len(parts(prop)) > 1:
                key, *_, value = parts(prop)
                found[literal(key) or text_of(key)] = value
        return found

    def at(self, path: str) -> Node | None:
        """The value at `properties.features.disableLocalAuth`, None where nothing is set."""
        key, _, rest = path.partition(".")
        value = self.members.get(key)
        if value is None or not rest:
            return value
        return Object(value).at(rest) if value.type == "object" else None

    def text(self, path: str) -> str:
        """The same as text on one line, '' where nothing is set."""
        value = self.at(path)
        return "" if value is None else flat(text_of(value))


@dataclass(frozen=True)
class Declaration:
    """One param, var, output, resource or module."""

    kind: str  # param, var, output, resource, module
    name: str
    node: Node
    of: str  # a resource's type without its version, a module's path
    existing: bool
    condition: str
    decorators: tuple[str, ...]

    @property
    def line(self) -> int:
        return self.node.start_point[0] + 1

    @cached_property
    def body(self) -> Object:
        """The object of a resource or module, inside `if (...)` and `[for ...]`."""
        node = self.node
        while node.type != "object":
            node = next(c for c in parts(node) if c.type in ("object", "if_statement", "for_statement"))
        return Object(node)

    @property
    def value(self) -> Node:
        """What a var or an output is; of a param, its default or its type."""
        return parts(self.node)[-1]

    @property
    def required(self) -> bool:
        """A param that a caller must give."""
        kinds = [child.type for child in parts(self.node)]
        return len(kinds) == 2 and not any(node.type == "nullable_type" for node in walk(self.node))


@dataclass(frozen=True)
class BicepFile:
    """One parsed file."""

    path: Path
    label: str
    source: str = field(repr=False)

    @cached_property
    def root(self) -> Node:
        return PARSER.parse(self.source.encode("utf-8")).root_node

    @cached_property
    def code(self) -> str:
        """The source with its comments blanked, line for line."""

        def blank(match: re.Match[str]) -> str:
            return match[0] if match[0].startswith("'") else "\n" * match[0].count("\n")

        return COMMENT.sub(blank, self.source)

    @cached_property
    def declarations(self) -> list[Declaration]:
        found = []
        decorators: tuple[str, ...] = ()
        for node in parts(self.root):
            if node.type == "decorators":
                decorators = tuple(flat(text_of(child)) for child in parts(node))
                continue
            kind = KINDS.get(node.type)
            if kind:
                found.append(declaration(kind, node, decorators))
            decorators = ()
        return found

    def all(self, kind: str) -> list[Declaration]:
        return [one for one in self.declarations if one.kind == kind]

    def one(self, kind: str, name: str) -> Declaration | None:
        return next((d for d in self.declarations if d.kind == kind and d.name == name), None)


KINDS = {
    "parameter_declaration": "param",
    "variable_declaration": "var",
    "output_declaration": "output",
    "resource_declaration": "resource",
    "module_declaration": "module",
    "type_declaration": "type",
}


def declaration(kind: str, node: Node, decorators: tuple[str, ...]) -> Declaration:
    name, *rest = parts(node)
    of = ""
    if kind in ("resource", "module"):
        of = (literal(rest[0]) or "").partition("@")[0]
    condition = next((text_of(parts(child)[0])[1:-1] for child in rest if child.type == "if_statement"), "")
    existing = any(not child.is_named and child.type == "existing" for child in node.children)
    return Declaration(kind, text_of(name), node, of, existing, flat(condition), decorators)


def read_folder(folder: Path) -> dict[str, BicepFile]:
    """Every Bicep file below a folder, by its path relative to it."""
    files = {}
    for path in sorted(folder.rglob("*.bicep")):
        label = path.relative_to(folder).as_posix()
        files[label] = BicepFile(path, label, path.read_text(encoding="utf-8"))
    return files
