"""The command line for development: `python -m dev COMMAND`. Run it in the project's folder."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from dev import doctor, package, settings_pages, simulate, start


def main(words: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m dev", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    start.add_commands(commands)
    doctor.add_command(commands)
    package.add_command(commands)
    simulate.add_command(commands)
    settings = commands.add_parser("settings", help="write the pages that are made from shared/settings.py")
    settings.set_defaults(run=_settings)
    arguments = parser.parse_args(words)
    code: int = arguments.run(arguments)
    return code


def _settings(_: argparse.Namespace) -> int:
    settings_pages.write(Path.cwd())
    return 0


if __name__ == "__main__":
    sys.exit(main())
