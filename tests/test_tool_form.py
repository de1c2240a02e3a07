"""Fields from a tool's input schema, and arguments from what was typed."""

from typing import Any

import pytest

from app.routers.pages.account.tool_form import Mistakes, fields_of, read_arguments, typed_arguments


def schema(required: bool = False, **properties: Any) -> dict[str, Any]:
    """An input schema with these properties."""
    return {"type": "object", "properties": properties, "required": list(properties) if required else []}


NULL = {"type": "null"}


@pytest.mark.parametrize(
    ("entry", "kind", "choices"),
    [
        pytest.param({"type": "string"}, "text", (), id="text"),
        pytest.param({"type": "string", "maxLength": 5000}, "long", (), id="long text"),
        pytest.param({"type": "integer"}, "integer", (), id="whole number"),
        pytest.param({"type": "number"}, "number", (), id="number"),
        pytest.param({"type": "boolean"}, "choice", ("true", "false"), id="yes or no"),
        pytest.param({"enum": ["a", 2, None]}, "choice", ("a", "2", "null"), id="one of a list"),
        pytest.param({"type": "array", "items": {"type": "string"}}, "json", (), id="list"),
        pytest.param({"type": "object"}, "json", (), id="object"),
        pytest.param({}, "json", (), id="anything"),
        pytest.param(True, "json", (), id="a schema that is no object"),
        pytest.param({"anyOf": [{"type": "integer"}, NULL]}, "integer", (), id="whole number or null"),
        pytest.param({"anyOf": [{"type": "integer"}, {"type": "string"}]}, "json", (), id="two kinds"),
        pytest.param({"$ref": "#/$defs/Colour"}, "choice", ("red", "green"), id="reference"),
        pytest.param({"$ref": "#/$defs/Missing"}, "json", (), id="reference to nothing"),
        pytest.param({"$ref": "https://elsewhere.example"}, "json", (), id="reference elsewhere"),
        pytest.param({"type": ["string", "null"]}, "json", (), id="types as a list"),
    ],
)
def test_an_argument_becomes_the_field_that_can_hold_it(entry: Any, kind: str, choices: Any) -> None:
    whole = {**schema(x=entry), "$defs": {"Colour": {"enum": ["red", "green"]}}}
    (field,) = fields_of(whole)
    assert (field.kind, field.choices) == (kind, choices)


def test_a_field_tells_what_the_schema_tells() -> None:
    entry = {"type": "string", "title": "Whom", "description": "Whom to greet", "default": "you"}
    (field,) = fields_of(schema(required=True, whom=entry))
    assert (field.label, field.hint, field.value, field.required) == ("Whom", "Whom to greet", "you", True)


def test_a_field_keeps_what_was_typed_even_where_it_was_emptied() -> None:
    (field,) = fields_of(schema(whom={"type": "string", "default": "you"}), {})
    assert field.value == ""


@pytest.mark.parametrize(
    ("entry", "typed", "value"),
    [
        ({"type": "string"}, "12", "12"),
        ({"type": "integer"}, "-12", -12),
        ({"type": "number"}, "1e3", 1000.0),
        ({"type": "boolean"}, "false", False),
        ({"enum": ["1", 1]}, "1", "1"),
        ({"enum": [1, None]}, "null", None),
        ({"type": "array"}, "[1, 2]", [1, 2]),
        ({"anyOf": [{"type": "boolean"}, NULL]}, "true", True),
    ],
)
def test_what_is_typed_becomes_what_the_schema_asks_for(entry: Any, typed: str, value: Any) -> None:
    assert read_arguments(schema(x=entry), {"x": typed}) == {"x": value}


def test_an_empty_field_is_left_out() -> None:
    assert read_arguments(schema(x={"type": "string", "default": "d"}), {"x": ""}) == {}


@pytest.mark.parametrize(
    ("entry", "typed", "sentence"),
    [
        ({"type": "integer"}, "1.5", "This must be a whole number."),
        ({"type": "integer"}, "9" * 5000, "This must be a whole number."),
        ({"type": "number"}, "many", "This must be a number."),
        ({"type": "number"}, "nan", "This must be a number."),
        ({"type": "number"}, "1e999", "This must be a number."),
        ({"type": "boolean"}, "True", "This must be one of the choices."),
        ({"enum": ["a"]}, "b", "This must be one of the choices."),
        ({"type": "array"}, "[1", "This must be JSON, such as [1, 2] or {"),
        ({"type": "array"}, '["\\ud800"]', "This must be JSON, such as [1, 2] or {"),
        ({"type": "array"}, "[" * 51 + "]" * 51, "This must be JSON, such as [1, 2] or {"),
        ({"type": "array"}, "[" * 900 + "]" * 900, "This must be JSON, such as [1, 2] or {"),
        ({"type": "object"}, '{"a":' * 60 + "1" + "}" * 60, "This must be JSON, such as [1, 2] or {"),
        ({"type": "array"}, "NaN", "This must be JSON, such as [1, 2] or {"),
        ({"type": "array"}, "[" * 60_000, "This must be JSON, such as [1, 2] or {"),
        ({"type": "string"}, "", "This is needed."),
    ],
)
def test_what_can_not_be_read_is_told_next_to_its_field(entry: Any, typed: str, sentence: str) -> None:
    with pytest.raises(Mistakes) as refused:
        read_arguments(schema(required=True, x=entry), {"x": typed})
    assert refused.value.sentences["x"].startswith(sentence)


def test_only_the_fields_of_arguments_are_arguments() -> None:
    form = {"argument:a": " 1 ", "csrf_token": "t", "tool": "x", "argument:csrf_token": "mine"}
    assert typed_arguments(form) == {"a": "1", "csrf_token": "mine"}


@pytest.mark.parametrize("broken", [{}, {"properties": []}, {"properties": {"x": 3}, "required": "x"}])
def test_a_schema_that_is_none_breaks_nothing(broken: Any) -> None:
    assert read_arguments(broken, {"x": ""}) == {}
