"""Which Python `make` takes, and when it makes the virtual environment anew."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")

HERE = "{}.{}.{}".format(*sys.version_info[:3])


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the Makefile and a finished environment of this Python; `python3` is another, of 3.12.99."""
    for name in ("Makefile", "requirements.txt", "requirements-redis.txt", "requirements-dev.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / ".venv" / f"installed-{HERE}").touch()
    (tmp_path / "bin").mkdir()
    other = tmp_path / "bin" / "python3"
    other.write_text("#!/bin/sh\necho 3.12.99\n", encoding="utf-8")
    other.chmod(0o755)
    return tmp_path


def planned(folder: Path, *words: str) -> str:
    """What `make start` would do."""
    environ = {name: value for name, value in os.environ.items() if name not in ("PYTHON", "MAKEFLAGS", "VENV")}
    environ["PATH"] = f"{folder / 'bin'}:{environ['PATH']}"
    return subprocess.check_output(["make", "-n", "start", *words], cwd=folder, env=environ, text=True)


def test_an_environment_that_is_there_is_used_with_its_own_python(project: Path) -> None:
    assert "Installing" not in planned(project)
    assert "-m dev start" in planned(project)


def test_another_python_that_is_named_makes_it_anew(project: Path) -> None:
    assert "(Python 3.12.99)" in planned(project, "PYTHON=python3")


def test_without_an_environment_or_with_one_that_does_not_run_it_is_made(project: Path) -> None:
    (project / ".venv" / "bin" / "python").unlink()
    assert "(Python 3.12.99)" in planned(project)
    shutil.rmtree(project / ".venv")
    assert "(Python 3.12.99)" in planned(project)
