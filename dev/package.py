"""`python -m dev package`: dist/app.zip, what a deployment sends to Azure; `.funcignore` says what stays here."""

from __future__ import annotations

import argparse
import sys
import zipfile
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

IGNORE = ".funcignore"
TARGET = Path("dist") / "app.zip"
LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""The oldest time of a zip: the same files make the same zip, whenever it is made."""


class CannotPackage(Exception):
    """There is nothing to package here; `str()` says why."""


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command to the command line."""
    package = commands.add_parser("package", help=f"build {TARGET.as_posix()}, for a deployment without azd")
    package.set_defaults(run=_run)


def build(root: Path, target: Path) -> list[str]:
    """Writes the zip; returns the names in it, sorted.

    Raises:
        CannotPackage: no app is in `root`, or nothing there says what is to be left out.
    """
    for needed in ("function_app.py", "host.json", "requirements.txt", IGNORE):
        if not (root / needed).is_file():
            raise CannotPackage(f"there is no {needed} in {root}")
    ignored = Ignored((root / IGNORE).read_text(encoding="utf-8"))
    names = sorted(path.as_posix() for path in _kept(root, PurePosixPath(), ignored))
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name in names:
            entry = zipfile.ZipInfo(name, LONG_AGO)
            entry.external_attr = 0o100644 << 16
            entry.create_system = 3  # Unix, wherever it is made
            zipped.writestr(entry, (root / name).read_bytes(), zipfile.ZIP_DEFLATED)
    return names


class Ignored:
    """The patterns of a `.funcignore`: a part of git's language, without `!` and `**`.

    Raises:
        CannotPackage: a pattern of the other part; leaving it out could let something slip through.
    """

    def __init__(self, text: str) -> None:
        lines = [line.strip() for line in text.splitlines()]
        self._patterns = [line for line in lines if line and not line.startswith("#")]
        for pattern in self._patterns:
            if pattern.startswith("!") or "**" in pattern:
                raise CannotPackage(
                    f"{IGNORE}: {pattern} is not understood; name what is to be left out, without ! and **"
                )

    def matches(self, path: PurePosixPath, *, folder: bool) -> bool:
        """Whether this path, relative to the root, is left out."""
        return any(self._match(pattern, path, folder) for pattern in self._patterns)

    @staticmethod
    def _match(pattern: str, path: PurePosixPath, folder: bool) -> bool:
        if pattern.endswith("/") and not folder:
            return False
        bare = pattern.rstrip("/")
        # As in git: with a slash inside, the pattern is of a path from the root; without, of a name anywhere.
        return fnmatchcase(str(path) if "/" in bare else path.name, bare.removeprefix("/"))


def _kept(root: Path, folder: PurePosixPath, ignored: Ignored) -> Iterator[PurePosixPath]:
    for found in (root / folder).iterdir():
        path = folder / found.name
        if ignored.matches(path, folder=found.is_dir()):
            continue
        if found.is_dir():
            yield from _kept(root, path, ignored)
        elif found.suffix != ".pyc":
            yield path


def _run(_: argparse.Namespace) -> int:
    try:
        names = build(Path.cwd(), Path.cwd() / TARGET)
    except CannotPackage as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{TARGET.as_posix()}: {len(names)} files, {(Path.cwd() / TARGET).stat().st_size:,} bytes")
    return 0
