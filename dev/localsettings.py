"""`local.settings.json`, as Core Tools reads it: app settings under `Values`, the host's own under `Host`."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dev.front import Cors
from shared.settings import KEY_VARIABLES, OLDER_NAMES, Settings

FILE = "local.settings.json"
EXAMPLE = "local.settings.json.example"

PLATFORM = ("FUNCTIONS_", "AzureWebJobs", "AzureFunctions", "WEBSITE_", "PYTHON_", "APPLICATIONINSIGHTS_")
"""How the names of settings begin that are the platform's."""
ALIKE = 0.75
"""How like a setting's name another must be to be taken for a slip, of 1."""

_COMMENT = re.compile(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/', re.DOTALL)


class BadSettings(Exception):
    """The file cannot be used; `str()` names it and says why."""


@dataclass(frozen=True)
class LocalSettings:
    """What a developer set for this machine."""

    values: Mapping[str, str]
    cors: Cors
    source: Path | None
    """The file it came from."""

    @classmethod
    def find(cls, folder: Path) -> LocalSettings:
        """The folder's `local.settings.json`, else its example, else nothing.

        Raises:
            BadSettings: there is one, and it cannot be used.
        """
        for name in (FILE, EXAMPLE):
            if (folder / name).is_file():
                return cls.read(folder / name)
        return cls({}, Cors(), None)

    @classmethod
    def read(cls, path: Path) -> LocalSettings:
        """This file. Comments are allowed in it, as Core Tools allows them.

        Raises:
            BadSettings: see `find`.
        """
        try:
            document = json.loads(_COMMENT.sub(lambda found: found[1] or "", path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise BadSettings(f"{path.name} is not readable JSON: {error}") from error
        host, values = _group(document, "Host", path), _group(document, "Values", path)
        if isinstance(document, dict) and document.get("IsEncrypted"):
            raise BadSettings(f"{path.name} is encrypted: run `func settings decrypt`")
        wrong = [name for name, value in values.items() if not isinstance(value, str)]
        if wrong:
            raise BadSettings(f"{path.name}: in Values, {', '.join(wrong)} must be text in quotes")
        try:
            cors = Cors.parse(str(host.get("CORS") or ""), credentials=bool(host.get("CORSCredentials")))
        except ValueError as error:
            raise BadSettings(f"{path.name}: {error}") from error
        return cls(values, cors, path)

    def warnings(self) -> list[str]:
        """The names that are no setting of this app but look like one, each with the one that it looks like."""
        known = {*Settings.variables(), *OLDER_NAMES, *KEY_VARIABLES, "IDENTITY_HEADER"}
        found = []
        for name in self.values:
            near = difflib.get_close_matches(name.upper(), known, 1, ALIKE)
            if near and name not in known and not name.startswith(PLATFORM):
                where = self.source.name if self.source else FILE
                found.append(f"{where}: {name} is no setting of this app. Is it meant to be {near[0]}?")
        return found

    def over(self, environ: Mapping[str, str]) -> dict[str, str]:
        """The settings that `environ` does not hold already: the real environment wins, as with Core Tools."""
        return {name: value for name, value in self.values.items() if name not in environ}


def _group(document: Any, name: str, path: Path) -> dict[str, Any]:
    group = document.get(name, {}) if isinstance(document, dict) else None
    if not isinstance(group, dict):
        raise BadSettings(f"{path.name}: {name if isinstance(document, dict) else 'it'} must be an object")
    return group
