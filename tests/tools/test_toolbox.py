"""Tools are listed by hand, have one name each, and can be narrowed down to some of them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from shared.tools import tools
from shared.tools.errors import ToolDefinitionError, UnknownToolError
from shared.tools.tool import tool
from shared.tools.toolbox import Toolbox


@tool(origins=("https://api.example.com",))
def one() -> str:
    """Does one thing."""
    return "one"


@tool
def two() -> str:
    """Does another thing."""
    return "two"


def test_tools_are_kept_in_their_order() -> None:
    box = Toolbox([two, one])
    assert box.names == ("two", "one")
    assert list(box) == [two, one]
    assert len(box) == 2
    assert "one" in box
    assert "three" not in box
    assert box.get("one") is one
    assert box.get("three") is None
    assert [definition["name"] for definition in box.definitions()] == ["two", "one"]


def test_a_box_knows_every_place_that_its_tools_may_reach() -> None:
    assert Toolbox([one, two]).origins == {"https://api.example.com"}


def test_two_tools_of_one_name_are_refused_by_name() -> None:
    with pytest.raises(ToolDefinitionError, match="Tool one: two tools have this name"):
        Toolbox([one, tool(name="one")(two.call)])


def test_a_function_that_was_not_made_a_tool_is_refused_by_name() -> None:
    def three() -> str:
        """Does a third thing."""
        return "three"

    with pytest.raises(ToolDefinitionError, match=r"Tool three: .*@tool"):
        Toolbox([three])  # type: ignore[list-item]


def test_a_subset_holds_the_named_tools_in_the_boxs_order() -> None:
    box = Toolbox([two, one])
    assert box.subset(["one", "two", "one"]).names == ("two", "one")
    assert box.subset(["one"]).names == ("one",)
    assert box.subset([]).names == ()


def test_a_subset_with_an_unknown_name_is_refused_and_told_what_there_is() -> None:
    with pytest.raises(UnknownToolError, match="no tool named three") as caught:
        Toolbox([two, one]).subset(["one", "three"])
    assert caught.value.names == ("three",)
    assert caught.value.offered == ("two", "one")


def test_the_app_ships_a_clock_a_calculator_and_the_weather() -> None:
    assert tools().names == ("current_time", "calculator", "weather")


def test_every_parameter_of_the_shipped_tools_is_described() -> None:
    for shipped in tools():
        for name, schema in shipped.parameters["properties"].items():
            assert schema["description"][0].isupper(), f"{shipped.name}.{name}"
            assert not schema["description"].startswith(("Null", "(")), f"{shipped.name}.{name}"


def test_without_a_providers_address_there_is_no_weather() -> None:
    assert tools(forecast_url="").names == ("current_time", "calculator")


def test_the_weather_reaches_only_the_addresses_in_its_settings() -> None:
    box = tools(forecast_url="https://a.example.com", geocoding_url="https://b.example.com")
    assert box.origins == {"https://a.example.com", "https://b.example.com"}


def test_importing_the_package_reads_no_tool() -> None:
    program = "import sys, shared.tools; print([name for name in sys.modules if name.startswith('shared.tools.')])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout.strip() == b"[]"
