"""The simulation of docs/reliability.md at a smaller size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dev.__main__ import main
from dev.scenarios import NO_BREAKERS, Scenario, down, four, scenarios, two
from dev.simulate import Result, choosing, simulate, table
from shared.azure.calls import PoolRules
from shared.errors import Overloaded

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"


def test_at_20_percent_faults_on_each_of_two_deployments_999_of_1000_requests_are_answered_in_time() -> None:
    result = simulate(Scenario("", two(0.2), 6000))
    assert result.success >= 0.999
    assert result.all_open == 0
    assert result.left_over == 0


@pytest.mark.parametrize("seed", range(3))
def test_so_they_are_with_little_traffic(seed: int) -> None:
    result = simulate(Scenario("", two(0.2), 2000, rate=0.2), seed)
    assert result.success >= 0.999
    assert result.all_open == 0


def test_random_faults_do_not_even_take_a_lone_deployment_out() -> None:
    result = simulate(Scenario("", two(0.2)[:1], 5000))
    assert (result.openings, result.all_open) == (0, 0)
    assert result.success >= 0.999


@pytest.mark.parametrize("breakers", [True, False], ids=["breakers", "no breakers"])
def test_in_a_full_outage_there_are_at_most_one_and_a_half_calls_a_request(breakers: bool) -> None:
    result = simulate(Scenario("", four(down), 3000, rules=PoolRules() if breakers else NO_BREAKERS))
    assert result.success == 0
    assert result.calls <= 1.5 * 3000 + 10
    assert Overloaded.code not in result.errors


def test_after_an_outage_of_everything_all_requests_are_answered_again_within_half_a_minute() -> None:
    upstreams = four(lambda upstream, _: replace(upstream, outages=[(60, 240)]))
    result = simulate(Scenario("", upstreams, 6000))
    assert result.success >= 1 - (240 - 60 + 36) / 600


def test_storms_outages_and_slow_starts_on_four_deployments_are_survived() -> None:
    (scenario,) = [one for one in scenarios(0.05) if "all of it" in one.name]
    result = simulate(scenario)
    assert result.success >= 0.999
    assert result.left_over == 0


def test_the_same_seed_gives_the_same_table() -> None:
    def once() -> Result:
        return simulate(Scenario("twice", two(0.3), 300), seed=5)

    assert table([once()]) == table([once()])


def test_the_command_writes_its_table_between_the_markers_of_a_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- simulation -->\nold\n<!-- /simulation -->\nafter\n", encoding="utf-8")
    assert main(["simulate", "--scale", "0.005", "--only", "calm", "--write", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n<!-- simulation -->\n| what happens")
    assert text.endswith("<!-- /simulation -->\nafter\n")
    assert "| calm | 100 |" in text
    assert "old" not in text


def test_the_command_prints_every_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--scale", "0.05"]) == 0
    printed = capsys.readouterr().out
    assert all(f"| {scenario.name} | {scenario.requests:,} |" in printed for scenario in scenarios(0.05))


def test_the_command_times_the_choice(capsys: pytest.CaptureFixture[str]) -> None:
    assert choosing(runs=1, times=10) > 0
    assert main(["simulate", "--choosing"]) == 0
    assert "Choosing one of 10 deployments takes " in capsys.readouterr().out


def test_the_page_shows_every_scenario() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for scenario in scenarios():
        assert f"| {scenario.name} | {scenario.requests:,} |" in text
