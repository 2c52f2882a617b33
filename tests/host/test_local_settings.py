"""`local.settings.json`, read as Core Tools reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from dev.localsettings import BadSettings, LocalSettings
from tests.conftest import ROOT


def write(folder: Path, text: str, name: str = "local.settings.json") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_values_and_cors_are_read(tmp_path: Path) -> None:
    write(
        tmp_path,
        """
        {
          // Comments are allowed, and are none within text.
          "IsEncrypted": false,
          "Values": {"A": "http://127.0.0.1:7073/", "B": "/* kept */"},  /* this one goes */
          "Host": {"CORS": "http://localhost:3000,https://a.example/", "CORSCredentials": true}
        }
        """,
    )
    local = LocalSettings.find(tmp_path)
    assert local.values == {"A": "http://127.0.0.1:7073/", "B": "/* kept */"}
    assert local.cors.origins == ("http://localhost:3000", "https://a.example")
    assert local.cors.credentials


def test_the_example_stands_in_for_a_missing_file(tmp_path: Path) -> None:
    example = write(tmp_path, '{"Values": {"A": "example"}}', "local.settings.json.example")
    assert LocalSettings.find(tmp_path).source == example
    write(tmp_path, '{"Values": {"A": "mine"}}')
    assert LocalSettings.find(tmp_path).values == {"A": "mine"}


def test_without_either_there_are_no_settings(tmp_path: Path) -> None:
    local = LocalSettings.find(tmp_path)
    assert (local.values, local.cors.origins, local.source) == ({}, (), None)


def test_the_real_environment_wins(tmp_path: Path) -> None:
    write(tmp_path, '{"Values": {"A": "file", "B": "file"}}')
    assert LocalSettings.find(tmp_path).over({"A": "real"}) == {"B": "file"}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("MAX_OUTPUT_TOKENZ", "MAX_OUTPUT_TOKENS"),
        ("AZURE_OPENAI_DEPLOYMNET", "AZURE_OPENAI_DEPLOYMENT"),
        ("max_messages", "MAX_MESSAGES"),
        ("FUNCTIONS_WORKER_RUNTIME", None),
        ("AzureWebJobsStorage", None),
        ("WEBSITE_AUTH_ENABLE", None),
        ("IDENTITY_HEADER", None),
        ("AZURE_OPENAI_BASE_URL", None),
        ("MY_OWN", None),
    ],
)
def test_a_slip_in_a_settings_name_is_told_with_the_name_that_is_meant(
    tmp_path: Path, name: str, meant: str | None
) -> None:
    write(tmp_path, f'{{"Values": {{"{name}": "1"}}}}')
    said = f"local.settings.json: {name} is no setting of this app. Is it meant to be {meant}?"
    assert LocalSettings.find(tmp_path).warnings() == ([said] if meant else [])


def test_the_example_has_no_slip() -> None:
    assert LocalSettings.read(ROOT / "local.settings.json.example").warnings() == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not readable JSON"),
        ("[]", "it must be an object"),
        ('{"Values": []}', "Values must be an object"),
        ('{"IsEncrypted": true, "Values": {}}', "is encrypted"),
        ('{"Values": {"A": 1, "B": "x", "C": true}}', "in Values, A, C must be text in quotes"),
        ('{"Host": {"CORS": "*", "CORSCredentials": true}}', "name the origins"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_the_reason(tmp_path: Path, text: str, said: str) -> None:
    write(tmp_path, text)
    with pytest.raises(BadSettings, match=r"^local\.settings\.json") as caught:
        LocalSettings.find(tmp_path)
    assert said in str(caught.value)
