"""What docs/tools.md shows works as it is shown."""

from __future__ import annotations

import json
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.tools.toolbox import Toolbox
from tests.tools.context import context

PAGE = (Path(__file__).parents[2] / "docs" / "tools.md").read_text(encoding="utf-8")


def shown(language: str) -> list[str]:
    """The page's examples in a language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def page() -> Iterator[Any]:
    """A module with the page's Python in it, in its order."""
    module = types.ModuleType("page")
    sys.modules["page"] = module
    for example in shown("python"):
        exec(compile(example, "docs/tools.md", "exec"), vars(module))
    yield module
    del sys.modules["page"]


def test_the_first_tool_is_told_to_the_model_as_the_page_says(page: Any) -> None:
    (definition,) = shown("json")
    assert page.roll_dice.definition() == json.loads(definition)


async def test_the_first_tool_runs_and_passes_its_test(page: Any) -> None:
    page.test_every_die_shows_one_of_its_sides()
    assert len(json.loads(await page.roll_dice.run('{"count": 3, "sides": null}', context()))) == 3


def test_every_tool_of_the_page_can_be_listed(page: Any) -> None:
    assert Toolbox([page.roll_dice, page.order_status]).origins == {"https://api.example.com"}
    assert page.order_status.wants_context
