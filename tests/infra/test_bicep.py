"""infra/ keeps its promises, and a copy of it that breaks one is caught.

The offline Bicep checker, the second half of each check, lies beside the project where there is one;
BICEP_CHECK names another place for it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.infra.app_policy import APP_RULES
from tests.infra.breaks import BREAKS, Break
from tests.infra.policy import RULES, findings
from tests.infra.wiring_policy import WIRING_RULES

ROOT = Path(__file__).resolve().parents[2]
INFRA = ROOT / "infra"
CHECKER = Path(os.environ.get("BICEP_CHECK") or ROOT.parent / "shared" / "tools" / "bicep_check") / "bicep_check.py"

EVERY_RULE = RULES + WIRING_RULES + APP_RULES

needs_checker = pytest.mark.skipif(not CHECKER.is_file(), reason="the offline Bicep checker is not beside the project")


def checker_codes(folder: Path) -> set[str]:
    """The codes that the offline checker reports, without its notes."""
    done = subprocess.run(
        [sys.executable, str(CHECKER), str(folder)], capture_output=True, text=True, timeout=60, check=False
    )
    codes = {line.split(" ")[1] for line in done.stdout.splitlines()} - {"note"}
    assert bool(codes) == bool(done.returncode), done.stdout + done.stderr
    return codes


def broken_copy(change: Break, tmp_path: Path) -> Path:
    folder = tmp_path / "infra"
    shutil.copytree(INFRA, folder)
    path = folder / change.file
    source = path.read_text(encoding="utf-8")
    assert change.old in source, f"{change.name}: nothing to break in {change.file}"
    path.write_text(source.replace(change.old, change.new, 1), encoding="utf-8")
    return folder


def test_infra_keeps_every_rule() -> None:
    assert findings(INFRA, EVERY_RULE) == []


@needs_checker
def test_infra_passes_the_offline_checker() -> None:
    assert checker_codes(INFRA) == set()


@pytest.mark.parametrize("change", [change for change in BREAKS if change.policy], ids=lambda change: change.name)
def test_a_broken_copy_is_caught_by_the_rules(change: Break, tmp_path: Path) -> None:
    codes = {finding.code for finding in findings(broken_copy(change, tmp_path), EVERY_RULE)}
    assert change.policy in codes


@needs_checker
@pytest.mark.parametrize("change", [change for change in BREAKS if change.checker], ids=lambda change: change.name)
def test_a_broken_copy_is_caught_by_the_offline_checker(change: Break, tmp_path: Path) -> None:
    assert change.checker in checker_codes(broken_copy(change, tmp_path))
