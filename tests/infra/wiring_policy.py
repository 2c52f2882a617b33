"""That names lead somewhere: symbols, what modules are given, what is read of them.

A compiler would find most of it; it may be absent. What only Azure's own descriptions of its resources can
tell (their properties and types) is not looked at here.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from tree_sitter import Node

from tests.infra.bicep import BicepFile, Declaration, Object, flat, parts, text_of, walk
from tests.infra.policy import Files, Finding, Rule, at

NAMESPACES = {"az", "sys"}
OUTPUT_READ = re.compile(r"\b(\w+)!?\.outputs\.(\w+)")


def names_are_known(files: Files) -> Iterator[Finding]:
    for file in files.values():
        known = NAMESPACES | {one.name for one in file.declarations}
        for node in walk(file.root):
            if node.type in ("loop_variable", "loop_enumerator"):
                known.add(text_of(node))
            elif node.type in ("lambda_expression", "for_statement"):
                known.add(text_of(parts(node)[0]))
        for one in file.declarations:
            for node in _names_used(one.node) if one.kind != "type" else []:
                if text_of(node) not in known:
                    yield Finding("symbol", f"{file.label}:{node.start_point[0] + 1}", f"unknown name {text_of(node)}")


def _names_used(declaration: Node) -> Iterator[Node]:
    for node in walk(declaration):
        parent = node.parent
        if node.type != "identifier" or parent is None or parent.type == "type":
            continue
        if (parent == declaration or parent.type == "object_property") and parts(parent)[0] == node:
            continue
        if parent.type == "call_expression" and parent.child_by_field_name("function") == node:
            continue
        yield node


def modules_get_their_params(files: Files) -> Iterator[Finding]:
    for file in files.values():
        for module in file.all("module"):
            target = files.get(_path_of(file, module))
            if target is None:
                yield Finding("module", at(file, module), f"there is no {_path_of(file, module)}")
                continue
            params = module.body.at("params")
            given = set(Object(params).members) if params else set()
            for param in target.all("param"):
                if param.required and param.name not in given:
                    yield Finding("param-missing", at(file, module), f"{module.name} is not given {param.name}")
            for name in given - {param.name for param in target.all("param")}:
                yield Finding("param-unknown", at(file, module), f"{module.of} has no param {name}")


def modules_give_what_is_read(files: Files) -> Iterator[Finding]:
    for file in files.values():
        targets = {module.name: files.get(_path_of(file, module)) for module in file.all("module")}
        for name, output in OUTPUT_READ.findall(file.code):
            target = targets.get(name)
            if target and target.one("output", output) is None:
                yield Finding("output", file.label, f"{name} has no output {output}")


def _path_of(file: BicepFile, module: Declaration) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(file.label), module.of))


def skipped_modules_are_not_read(files: Files) -> Iterator[Finding]:
    """Azure evaluates what is read of a module even where that module is skipped (Azure/bicep issue 3990)."""
    for file in files.values():
        conditions = {module.name: module.condition for module in file.all("module") if module.condition}
        for node in walk(file.root):
            condition = conditions.get(text_of(node)) if node.type == "identifier" else None
            behind = file.source.encode("utf-8")[node.end_byte :]
            if condition and re.match(rb"!?\.outputs\b", behind) and condition not in _guards(node):
                where = f"{file.label}:{node.start_point[0] + 1}"
                yield Finding("guard", where, f"{text_of(node)} is skipped unless {condition}")


def _guards(node: Node) -> Iterator[str]:
    """What is known to hold where a node stands, from the `?:` around it."""
    while node.parent is not None:
        if node.parent.type == "ternary_expression":
            condition = node.parent.child_by_field_name("condition")
            if condition and node.parent.child_by_field_name("consequence") == node:
                yield flat(text_of(condition))
            elif condition and node.parent.child_by_field_name("alternative") == node:
                yield "!" + flat(text_of(condition))
        node = node.parent


WIRING_RULES: tuple[Rule, ...] = (
    names_are_known,
    modules_get_their_params,
    modules_give_what_is_read,
    skipped_modules_are_not_read,
)
