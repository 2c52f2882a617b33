"""`python -m dev settings`: writes docs/settings.md and local.settings.json.example from shared/settings.py."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from shared.settings import KEY_VARIABLES, OLDER_NAMES, Settings

SIGNS = {"gt": "over", "ge": "at least", "lt": "under", "le": "at most"}

LOCAL = {
    "FUNCTIONS_WORKER_RUNTIME": "python",
    "PYTHON_ENABLE_INIT_INDEXING": "1",
    "AZURE_OPENAI_ENDPOINT": "http://127.0.0.1:7073",
    "AZURE_OPENAI_DEPLOYMENT": "gpt-4.1-mini",
    "IDENTITY_ENDPOINT": "http://127.0.0.1:7072/msi/token",
    "IDENTITY_HEADER": "emulated",
}
"""What the example aims at: `func start` against the local emulators."""

ORIGINS = [f"http://{host}:{port}" for port in (3000, 5173) for host in ("localhost", "127.0.0.1")]
"""Where the development servers of web frontends are: Next.js and Vite."""

HEAD = """\
# Settings

Every setting is an app setting of the Function App (an environment variable). An empty value counts as absent. A
mistake does not stop the worker from loading: every route but `/api/health` then answers 503 `misconfigured` and names
the variables, and the local host prints the same list and stops. On a
laptop (`make start`) the emulators fill in the endpoint, the deployment and the identity where they are not set, and a
name in `local.settings.json` that looks like a setting's but is none is told when it starts. This page is made by
`python -m dev settings`.

"""

PLATFORM = """
## Set by the platform

Read, but never set by you.

"""

TAIL = f"""
## Older names

{{older}}

## Never set

{", ".join(f"`{name}`" for name in KEY_VARIABLES)}: this app uses its identity and no key. In Azure it answers 503 while
one of them is set; on a development host they are ignored, with one warning.
"""


def settings_page() -> str:
    """docs/settings.md."""
    rows = [
        f"| `{name}` | {_default(one)} | {_values(one)} | {one.description} |"
        for name, one in fields()
        if not is_platform(one)
    ]
    theirs = [f"| `{name}` | {one.description} |" for name, one in fields() if is_platform(one)]
    older = "\n".join(f"- `{older}` is understood as `{name}`, with a warning." for older, name in OLDER_NAMES.items())
    return (
        HEAD
        + "\n".join(["| setting | default | values | meaning |", "|---|---|---|---|", *rows])
        + "\n"
        + PLATFORM
        + "\n".join(["| variable | meaning |", "|---|---|", *theirs])
        + "\n"
        + TAIL.format(older=older)
    )


def example_file() -> str:
    """local.settings.json.example: every setting, its meaning beside it, aimed at the emulators."""
    own = {variable: field for variable, field in fields() if not is_platform(field)}
    values = {**LOCAL, **{variable: LOCAL.get(variable, _text(field.default)) for variable, field in own.items()}}
    document = {
        "//": {variable: field.description for variable, field in own.items()},
        "IsEncrypted": False,
        "Values": values,
        "Host": {"CORS": ",".join(ORIGINS), "CORSCredentials": False},
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def write(root: Path) -> None:
    """Writes both files below `root`."""
    (root / "docs").mkdir(exist_ok=True)
    (root / "docs" / "settings.md").write_text(settings_page(), encoding="utf-8")
    (root / "local.settings.json.example").write_text(example_file(), encoding="utf-8")


def fields() -> Iterator[tuple[str, FieldInfo]]:
    """Every setting: its variable's name and its definition."""
    for field in Settings.model_fields.values():
        if field.validation_alias:
            yield str(field.validation_alias), field


def is_platform(field: FieldInfo) -> bool:
    """Whether the platform sets it, not the operator."""
    return isinstance(field.json_schema_extra, dict) and "platform" in field.json_schema_extra


def _text(default: object) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    return "" if default in (None, {}) else str(default)


def _values(field: FieldInfo) -> str:
    """What a setting may be: its words, or the bounds of its number."""
    if field.annotation is bool:
        return "`true`, `false`"
    if get_origin(field.annotation) is Literal:
        return ", ".join(f"`{word}`" for word in get_args(field.annotation) if word)
    bounds = {
        name: getattr(one, name) for one in field.metadata for name in SIGNS if getattr(one, name, None) is not None
    }
    if "ge" in bounds and "le" in bounds:
        return f"{bounds['ge']} to {bounds['le']}"
    return ", ".join(f"{SIGNS[name]} {bound}" for name, bound in bounds.items())


def _default(field: FieldInfo) -> str:
    text = _text(field.default)
    return f"`{text}`" if text else ""
