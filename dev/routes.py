"""Route templates as the Functions host reads them, and which function a request goes to."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

# ASP.NET's inline constraints that make sense on a string; a host with others would refuse nothing here.
CONSTRAINTS = {
    "int": r"[+-]?[0-9]+",
    "long": r"[+-]?[0-9]+",
    "guid": r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}",
    "bool": r"(?:[tT][rR][uU][eE]|[fF][aA][lL][sS][eE])",
    "alpha": r"[a-zA-Z]+",
}
RESERVED = ("admin", "runtime")

_PARAMETER = re.compile(
    r"\{(?P<rest>\*{0,2})(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<constraints>(?::[^{}?:]+)*)(?P<optional>\??)\}"
)


@dataclass(frozen=True)
class Route:
    """One function's address: the template under the route prefix, and the methods (empty: all of them)."""

    function: str
    template: str
    methods: frozenset[str]
    pattern: re.Pattern[str]
    precedence: tuple[tuple[int, int, str], ...]

    def overlaps(self, other: Route) -> bool:
        """Would some request match both, with nothing to choose between them?"""
        return self.precedence == other.precedence and (
            not self.methods or not other.methods or bool(self.methods & other.methods)
        )


class Router:
    """The host's table: literal segments before parameters, longer before shorter, letter case ignored."""

    def __init__(self, routes: Iterable[Route], prefix: str = "api") -> None:
        self.prefix = prefix.strip("/")
        self._routes = sorted(routes, key=lambda route: route.precedence)

    def match(self, path: str, method: str) -> tuple[Route, dict[str, str]] | None:
        """The route and its path parameters, decoded; or None. `path` is the request's, percent-encoded.

        A known path with another method is no match either: the real host answers 404 there, not 405, and
        does not let GET stand for HEAD (azure-functions-host issues 10098 and 11625).
        """
        rest = _below(path, self.prefix)
        if rest is None:
            return None
        for route in self._routes:
            found = route.pattern.fullmatch(rest)
            if found and (not route.methods or method in route.methods):
                return route, {name: unquote(value) for name, value in found.groupdict().items() if value}
        return None


def parse(function: str, template: str, methods: Iterable[str] = ()) -> Route:
    """The route of one function.

    Raises:
        ValueError: the real host refuses this template, or this one cannot read it; the message says why.
    """
    if template.startswith(("/", "~")):
        raise ValueError(f"route {template!r} must not start with '/' or '~'")
    segments = template.rstrip("/").split("/") if template else []
    if segments and segments[0].lower().startswith(RESERVED):
        raise ValueError(f"route {template!r}: the host keeps 'admin' and 'runtime' for itself")
    pattern, precedence, names = "", [], set[str]()
    for index, segment in enumerate(segments):
        parameter = _PARAMETER.fullmatch(segment)
        if parameter is None:
            if not segment or set(segment) & set("{}?*"):
                raise ValueError(f"route {template!r}: cannot read the segment {segment!r}")
            pattern += ("/" if index else "") + re.escape(segment)
            precedence.append((0, 0, segment.lower()))
            continue
        name = parameter["name"]
        if name.lower() in names:
            raise ValueError(f"route {template!r}: the parameter {name!r} is there twice")
        names.add(name.lower())
        if (parameter["rest"] or parameter["optional"]) and index < len(segments) - 1:
            raise ValueError(f"route {template!r}: {segment!r} can only be the last segment")
        constraints = [word for word in parameter["constraints"].split(":") if word]
        value = _value(template, constraints)
        if parameter["rest"]:
            pattern += f"(?:{'/' if index else ''}(?P<{name}>.*))?"
        elif parameter["optional"]:
            pattern += f"(?:{'/' if index else ''}(?P<{name}>{value}))?"
        else:
            pattern += f"{'/' if index else ''}(?P<{name}>{value})"
        precedence.append((2 if parameter["rest"] else 1, -len(constraints), ":".join(sorted(constraints))))
    ordered = (*precedence, (3, 0, ""))
    return Route(
        function=function,
        template="/".join(segments),
        methods=frozenset(method.upper() for method in methods),
        pattern=re.compile(pattern, re.IGNORECASE),
        precedence=ordered,
    )


def _value(template: str, constraints: list[str]) -> str:
    unknown = [word for word in constraints if word not in CONSTRAINTS]
    if unknown:
        known = ", ".join(CONSTRAINTS)
        raise ValueError(f"route {template!r}: the constraint {unknown[0]!r} is not known here ({known})")
    return "".join(f"(?={CONSTRAINTS[word]}(?:/|$))" for word in constraints) + "[^/]+"


def _below(path: str, prefix: str) -> str | None:
    path = path.strip("/")
    if not prefix:
        return path
    if path.lower() == prefix.lower():
        return ""
    start = prefix.lower() + "/"
    return path[len(start) :] if path.lower().startswith(start) else None
