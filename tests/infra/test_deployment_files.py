"""The files around the templates say the same as the templates: parameters, pipelines, documentation."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.infra.bicep import Declaration, flat, read_folder, text_of

ROOT = Path(__file__).resolve().parents[2]
MAIN = read_folder(ROOT / "infra")["main.bicep"]
PARAMETERS = json.loads((ROOT / "infra" / "main.parameters.json").read_text(encoding="utf-8"))["parameters"]
VARIABLE = re.compile(r"\$\{([A-Z_]+)(?:=([^}]*))?\}")
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
GUIDES = [ROOT / "docs" / name for name in ("deploy.md", "aks.md", "doctor.md")]


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def default_of(param: Declaration) -> str:
    return "" if param.required else flat(text_of(param.value)).strip("'")


def test_azd_can_set_every_parameter_and_no_other() -> None:
    assert PARAMETERS.keys() == {param.name for param in MAIN.all("param")}


@pytest.mark.parametrize("name", PARAMETERS)
def test_azd_reads_a_parameter_from_one_variable_and_falls_back_to_the_same_default(name: str) -> None:
    variable = VARIABLE.fullmatch(PARAMETERS[name]["value"])
    param = MAIN.one("param", name)
    assert variable
    assert param
    assert variable[2] in (None, default_of(param))


def test_no_output_comes_back_as_a_parameter_of_the_next_deployment() -> None:
    read_by_azd = {VARIABLE.findall(value["value"])[0][0] for value in PARAMETERS.values()}
    outputs = {output.name for output in MAIN.all("output")}
    assert read_by_azd & outputs == {"AZURE_LOCATION", "AZURE_RESOURCE_GROUP"}  # these two are to stay as they are


def test_the_guide_lists_every_parameter_with_its_variable() -> None:
    listed = dict(re.findall(r"^\| `([A-Z_]+)` \| `(\w+)` \|", read("docs/deploy.md"), re.MULTILINE))
    assert listed == {VARIABLE.findall(value["value"])[0][0]: name for name, value in PARAMETERS.items()}


def test_the_guide_states_each_default_as_it_is() -> None:
    rows = re.findall(r"^\| `[A-Z_]+` \| `(\w+)` \|.*\| ([^|]*) \|$", read("docs/deploy.md"), re.MULTILINE)
    stated = {name: default.strip("`") for name, default in rows if re.fullmatch(r"`[\w./]+`", default)}
    assert len(stated) > 12
    for name, default in stated.items():
        param = MAIN.one("param", name)
        assert param, name
        assert default == default_of(param), name


def test_the_guide_gives_az_only_parameters_that_exist() -> None:
    given = re.findall(r"--parameters ((?:\w+=\S+\s*)+)", read("docs/deploy.md"))
    names = set(re.findall(r"(\w+)=", " ".join(given)))
    assert {"environmentName", "location"} <= names <= PARAMETERS.keys()


def test_the_guide_sets_only_variables_that_are_read() -> None:
    known = {VARIABLE.findall(value["value"])[0][0] for value in PARAMETERS.values()}
    used = set(re.findall(r"^azd env set ([A-Z_]+)", read("docs/deploy.md"), re.MULTILINE))
    assert used
    assert used <= known


def test_the_guide_reads_only_outputs_that_exist() -> None:
    used = {name for guide in GUIDES for name in re.findall(r"azd env get-value (\w+)", guide.read_text("utf-8"))}
    assert used
    assert used <= {output.name for output in MAIN.all("output")}


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.name)
def test_the_links_inside_a_guide_lead_somewhere(guide: Path) -> None:
    text = guide.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)]+)\)", text):
        path, _, anchor = target.partition("#")
        if path.startswith("http"):
            continue
        page = guide.parent / path if path else guide
        assert page.is_file(), target
        headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert not anchor or anchor in anchors, target


def test_azd_finds_the_app_by_its_tag() -> None:
    service = re.search(r"^services:\n(?:\s*#.*\n)*  (\w+):\n", read("azure.yaml"), re.MULTILINE)
    assert service
    assert f"'azd-service-name': '{service[1]}'" in read("infra/modules/app.bicep")
    for line in ("host: function", "language: python", "remoteBuild: true"):
        assert line in read("azure.yaml")


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_pins_what_it_runs_and_holds_no_secret(workflow: Path) -> None:
    text = workflow.read_text(encoding="utf-8")
    uses = re.findall(r"uses: (.*)", text)
    assert uses
    for action in uses:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v[\d.]+", action), action
    assert "secrets." not in text
    assert re.search(r"^permissions:\n  contents: read$", text, re.MULTILINE)


def test_only_the_deployment_may_ask_for_a_token() -> None:
    may = {path.name for path in WORKFLOWS if "id-token: write" in path.read_text(encoding="utf-8")}
    assert may == {"deploy.yml"}


def test_the_tests_run_on_every_python_that_the_app_may_be_given() -> None:
    allowed = MAIN.one("param", "pythonVersion")
    assert allowed
    versions = re.findall(r"3\.\d+", "".join(allowed.decorators))
    assert re.findall(r"3\.\d+", re.findall(r"python: \[(.*)\]", read(".github/workflows/ci.yml"))[0]) == versions
