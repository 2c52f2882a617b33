"""What a cold start loads."""

from __future__ import annotations

import subprocess
import sys

from tests.conftest import ROOT


def test_importing_the_app_loads_no_sdk_and_reads_no_file_of_settings() -> None:
    """They load in the warm-up or on first use: openai alone would double the time to the first answer."""
    script = "import sys, function_app; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert "shared.worker" in loaded
    assert loaded.isdisjoint({"openai", "azure.identity", "azure.core", "msal", "cryptography", "aiohttp", "PIL"})


def test_settings_that_are_wrong_do_not_keep_the_app_from_loading() -> None:
    script = "import function_app; print(len(function_app.worker.settings.mistakes))"
    run = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env={"CALLER_AUTH": "anyone", "MODELS": "[", "OPENAI_API_KEY": "x"},
    )
    assert run.stdout == "4\n"
    assert "misconfigured: CALLER_AUTH" in run.stderr
