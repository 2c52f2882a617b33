"""`make package`: the zip that a deployment sends, and that it is all the app needs."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import httpx2
import pytest

from dev.__main__ import main
from dev.emulator import Emulators
from dev.package import CannotPackage, Ignored, build
from tests.conftest import ROOT

SERVE = """
import importlib.util, json, os, sys
from pathlib import Path
from dev.host import Host
import shared

found = [name for name in ("pytest", "mypy", "ruff", "hypothesis", "tests") if importlib.util.find_spec(name)]
with Host.start({}, path=Path(sys.argv[1])) as host:
    print(json.dumps({"url": host.url, "shared": shared.__file__, "development": found}), flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small app, with things beside it that must not be sent."""
    for name in ("function_app.py", "host.json", "requirements.txt", ".funcignore"):
        shutil.copy(ROOT / name, tmp_path)
    for name in (
        "shared/chat.py",
        "shared/__pycache__/chat.cpython-311.pyc",
        "shared/tests/test_chat.py",
        "dev/host.py",
        "tests/test_chat.py",
        "docs/api.md",
        "infra/main.bicep",
        "web/node_modules/x/index.js",
        ".git/config",
        ".venv/bin/python",
        ".env",
        ".github/workflows/ci.yml",
        "local.settings.json",
        "README.md",
        "LICENSE",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x", encoding="utf-8")
    return tmp_path


def names_in(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as zipped:
        assert zipped.testzip() is None
        return zipped.namelist()


def test_the_zip_holds_the_app_and_nothing_else(project: Path) -> None:
    target = project / "dist" / "app.zip"
    names = build(project, target)
    assert names == names_in(target)
    assert names == ["LICENSE", "function_app.py", "host.json", "requirements.txt", "shared/chat.py"]
    assert build(project, target) == names, "nor the zip of the last time"


def test_the_same_files_make_the_same_zip(project: Path, tmp_path: Path) -> None:
    def made(name: str) -> str:
        build(project, tmp_path / "dist" / name)
        return hashlib.sha256((tmp_path / "dist" / name).read_bytes()).hexdigest()

    first = made("first.zip")
    os.utime(project / "host.json", (1, 1))
    (project / "host.json").chmod(0o600)
    assert made("second.zip") == first


@pytest.mark.parametrize(
    ("pattern", "path", "folder", "left_out"),
    [
        ("docs/", "docs", True, True),
        ("docs/", "docs", False, False),
        ("docs/", "shared/docs", True, True),
        ("*.md", "shared/notes.md", False, True),
        ("/notes.md", "notes.md", False, True),
        ("web/dev/", "web/dev", True, True),
        ("web/dev/", "other/web/dev", True, False),
        (".git*", ".gitignore", False, True),
        ("# docs", "docs", True, False),
    ],
)
def test_patterns_mean_what_they_mean_to_git(pattern: str, path: str, folder: bool, left_out: bool) -> None:
    assert Ignored(f"\n{pattern}\n").matches(PurePosixPath(path), folder=folder) is left_out


@pytest.mark.parametrize("pattern", ["!shared/", "**/docs"])
def test_a_pattern_that_is_not_understood_stops_it(pattern: str) -> None:
    with pytest.raises(CannotPackage, match="is not understood"):
        Ignored(pattern)


def test_without_a_list_of_what_stays_here_nothing_is_packed(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / ".funcignore").unlink()
    monkeypatch.chdir(project)
    assert main(["package"]) == 1
    assert capsys.readouterr().err == f"there is no .funcignore in {project}\n"


def test_the_command_says_where_the_zip_is(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project)
    assert main(["package"]) == 0
    size = (project / "dist" / "app.zip").stat().st_size
    assert capsys.readouterr().out == f"dist/app.zip: 5 files, {size:,} bytes\n"


@contextmanager
def served(python: Path, folder: Path, workshop: Path, environ: dict[str, str]) -> Iterator[dict[str, Any]]:
    """The app of this folder on the local host, in a process that knows of this project the host alone."""
    (workshop / "dev").symlink_to(ROOT / "dev", target_is_directory=True)
    path = os.pathsep.join([str(folder), str(workshop)])
    process = subprocess.Popen(
        [python, "-c", SERVE, folder / "function_app.py"],
        cwd=folder,
        env={"PATH": os.defpath, "PYTHONPATH": path, **environ},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline() or "{}")
    finally:
        process.communicate("", timeout=20)
        assert process.returncode == 0


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_what_is_sent_serves_a_chat_with_its_own_requirements_alone(azure: Emulators, tmp_path: Path) -> None:
    names = build(ROOT, tmp_path / "app.zip")
    assert {name.partition("/")[0] for name in names} == {
        "LICENSE",
        "function_app.py",
        "host.json",
        "requirements.txt",
        "shared",
    }
    app, workshop, own = tmp_path / "app", tmp_path / "workshop", tmp_path / "venv"
    workshop.mkdir()
    with zipfile.ZipFile(tmp_path / "app.zip") as zipped:
        zipped.extractall(app)
    venv.create(own, with_pip=True)
    python = own / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    install = ["-m", "pip", "install", "--quiet", "--no-compile", "-r", "requirements.txt"]
    environ = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    subprocess.run([str(python), *install], cwd=app, check=True, env=environ)
    with served(python, app, workshop, azure.environ()) as running:
        assert running["development"] == []
        assert running["shared"] == str(app / "shared" / "__init__.py")
        answer = httpx2.post(
            f"{running['url']}/api/chat",
            json={"messages": [{"role": "user", "content": "Hello"}]},
            timeout=60,
            trust_env=False,
        )
        assert answer.status_code == 200
        assert answer.json()["message"]["content"]
        assert httpx2.get(f"{running['url']}/api/ready", timeout=60, trust_env=False).status_code == 200
