"""What the model is told of a tool: a strict JSON schema, from the function's signature and docstring."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import Field

from shared.tools.tool import tool
from tests.tools.samples import Circle, Guest, Square, Tree, book, defined, greet


def nodes(schema: Any) -> list[dict[str, Any]]:
    """Every schema within a schema."""
    found = [schema]
    for child in [
        *schema.get("properties", {}).values(),
        *schema.get("$defs", {}).values(),
        *schema.get("anyOf", []),
        *([schema["items"]] if "items" in schema else []),
    ]:
        found += nodes(child)
    return found


def test_a_tool_is_told_to_the_model_as_a_strict_function() -> None:
    assert greet.definition() == {
        "type": "function",
        "name": "greet",
        "description": "Greets someone.",
        "parameters": {
            "type": "object",
            "properties": {"name": {"type": "string", "description": "Who is greeted."}},
            "required": ["name"],
            "additionalProperties": False,
        },
        "strict": True,
    }


def test_the_description_is_what_stands_before_the_docstrings_sections() -> None:
    assert book.description == "Books a table.\n\nA person confirms it first."


def test_a_parameters_description_comes_from_the_docstring_or_its_annotation() -> None:
    properties = book.parameters["properties"]
    assert properties["guests"]["description"] == "Everyone who comes, of whom each has a name."
    assert properties["seats"]["description"].startswith("How many sit.")


def test_no_word_of_a_parameters_description_is_lost() -> None:
    @tool
    def read(first: str, second: str, third: str) -> str:
        """Reads.

        Args:
            first: One line
            and another that is not indented.
            second (str):
                Begins below.

                Ends after a gap: truly.

            third: As in "a: b".
        """
        return first + second + third

    properties = read.parameters["properties"]
    assert [properties[name]["description"] for name in properties] == [
        "One line and another that is not indented.",
        "Begins below. Ends after a gap: truly.",
        'As in "a: b".',
    ]


def test_every_object_of_a_schema_is_closed_and_requires_all_its_properties() -> None:
    objects = [node for node in nodes(book.parameters) if node.get("type") == "object"]
    assert len(objects) == 2
    for node in objects:
        assert node["additionalProperties"] is False
        assert node["required"] == list(node["properties"])


def test_optional_parameters_are_nullable_and_tell_their_default() -> None:
    properties = book.parameters["properties"]
    for name in ("seats", "note", "unit", "kind"):
        assert {"type": "null"} in properties[name]["anyOf"], name
    assert "Null means the default, 2." in properties["seats"]["description"]
    assert 'Null means the default, "dinner".' in properties["kind"]["description"]
    assert properties["note"]["description"] == "Anything that the kitchen should know. Null means the default."


def test_the_context_is_no_parameter_that_the_model_sees() -> None:
    assert "context" not in book.parameters["properties"]


def test_a_schema_has_only_keywords_of_the_strict_subset() -> None:
    allowed = {
        *("type", "description", "enum", "properties", "required", "additionalProperties"),
        *("items", "anyOf", "$ref", "$defs"),
    }
    for node in nodes(book.parameters):
        assert set(node) <= allowed


def test_bounds_that_strict_schemas_lack_are_told_in_the_description() -> None:
    seats = book.parameters["properties"]["seats"]["anyOf"][0]
    assert seats == {"type": "integer", "description": "How many sit. (maximum: 20, minimum: 1)"}
    guest = book.parameters["$defs"]["Guest"]["properties"]["name"]
    assert guest == {"type": "string", "description": "The full name. (minLength: 1)"}


def test_a_reference_stands_alone_so_that_its_description_is_kept_beside_it() -> None:
    described = defined(guest=Annotated[Guest, Field(description="Who.")]).parameters["properties"]["guest"]
    assert described == {"description": "Who.", "anyOf": [{"$ref": "#/$defs/Guest"}]}


def test_one_of_several_kinds_is_told_as_any_of_them() -> None:
    shape = defined(shape=Annotated[Circle | Square, Field(discriminator="kind")])
    told = shape.parameters["properties"]["shape"]
    assert told == {"anyOf": [{"$ref": "#/$defs/Circle"}, {"$ref": "#/$defs/Square"}]}
    assert shape.parameters["$defs"]["Circle"]["properties"]["kind"] == {"type": "string", "enum": ["circle"]}
    assert shape.parse('{"shape": {"kind": "square", "side": 2}}') == {"shape": Square(kind="square", side=2)}


def test_recursive_types_are_told_by_reference() -> None:
    schema = defined(tree=Tree).parameters
    assert schema["$defs"]["Tree"]["properties"]["children"]["items"] == {"$ref": "#/$defs/Tree"}


def test_parameters_may_have_names_that_other_libraries_keep_for_themselves() -> None:
    made = defined(json=str, schema=str, model_config=str, self=str)
    values = {"json": "a", "schema": "b", "model_config": "c", "self": "d"}
    assert made.parse(json.dumps(values)) == values


def test_a_tool_without_parameters_takes_an_empty_object() -> None:
    @tool
    def ping() -> str:
        """Answers."""
        return "pong"

    assert ping.parameters == {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    assert ping.parse("{}") == {}
