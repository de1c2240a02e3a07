"""A form made from a tool's input schema, and the arguments that were typed into it (JSON Schema 2020-12).

What a field of a form can hold becomes one: texts, numbers, yes or no, one of a list. Everything else is typed as
JSON. Whether the arguments fit the schema is for the server to say; here only what can't be read is refused.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_PREFIX = "argument:"
_SIMPLE = {"string": "text", "integer": "integer", "number": "number", "boolean": "choice"}
_DEEPEST = 50
_LONG = 200


class Mistakes(Exception):
    """What was typed can't be read: one sentence for each argument."""

    def __init__(self, sentences: Mapping[str, str]) -> None:
        super().__init__(sentences)
        self.sentences = sentences


@dataclass(frozen=True, slots=True)
class Field:
    """One argument as a field: `kind` is text, long, integer, number, choice or json; `field` its name in the form."""

    name: str
    label: str
    kind: str
    required: bool
    hint: str
    choices: tuple[str, ...]
    value: str
    field: str

    @property
    def options(self) -> list[tuple[str, str]] | None:
        """What a select offers, and nothing first where nothing may be said; None for the other kinds."""
        if self.kind != "choice":
            return None
        nothing = [] if self.required and self.value in self.choices else [("", "")]
        return nothing + [(choice, choice) for choice in self.choices]


def fields_of(schema: Mapping[str, Any], typed: Mapping[str, str] | None = None) -> list[Field]:
    """The fields of a tool's form, filled with what was typed, else with the schema's defaults."""
    required = set(_list(schema.get("required")))
    return [
        _field(schema, name, entry, name in required, typed)
        for name, entry in _mapping(schema.get("properties")).items()
    ]


def read_arguments(schema: Mapping[str, Any], typed: Mapping[str, str]) -> dict[str, Any]:
    """The arguments that were typed; an empty field is left out.

    Raises:
        Mistakes: something is missing or can't be read.
    """
    arguments: dict[str, Any] = {}
    mistakes: dict[str, str] = {}
    for field in fields_of(schema, typed):
        if not field.value:
            if field.required:
                mistakes[field.name] = "This is needed."
            continue
        try:
            arguments[field.name] = _value(field, _entry(schema, field.name))
        except (ValueError, RecursionError):
            mistakes[field.name] = _READ_AS[field.kind]
    if mistakes:
        raise Mistakes(mistakes)
    return arguments


_READ_AS = {
    "integer": "This must be a whole number.",
    "number": "This must be a number.",
    "choice": "This must be one of the choices.",
    "json": 'This must be JSON, such as [1, 2] or {"a": true}.',
}


def typed_arguments(form: Mapping[str, str]) -> dict[str, str]:
    """What was typed, by the names of the arguments."""
    return {
        name.removeprefix(_PREFIX): value.strip() for name, value in form.items() if name.startswith(_PREFIX)
    }


def _field(
    schema: Mapping[str, Any], name: str, entry: Any, required: bool, typed: Mapping[str, str] | None
) -> Field:
    entry = _plain(schema, entry)
    kind, choices = _kind(entry)
    default = _text(entry["default"]) if entry.get("default") is not None else ""
    return Field(
        name=name,
        label=str(entry.get("title") or name),
        kind=kind,
        required=required,
        hint=str(entry.get("description") or ""),
        choices=choices,
        value=default if typed is None else typed.get(name, ""),
        field=_PREFIX + name,
    )


def _kind(entry: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    choices = _list(entry.get("enum"))
    if choices:
        return "choice", tuple(_text(choice) for choice in choices)
    kind = _SIMPLE.get(str(entry.get("type")), "json")
    if kind == "choice":
        return kind, ("true", "false")
    longest = entry.get("maxLength")
    is_long = kind == "text" and isinstance(longest, int) and longest > _LONG
    return ("long" if is_long else kind), ()


def _value(field: Field, entry: Mapping[str, Any]) -> Any:
    """What a field says, as the argument's type.

    Raises:
        ValueError, RecursionError: it says nothing of that type.
    """
    match field.kind:
        case "integer":
            return int(field.value)
        case "number":
            number = float(field.value)
            return number if math.isfinite(number) else _refuse(field.value)
        case "json":
            return _sendable(json.loads(field.value, parse_constant=_refuse))
        case "choice":
            for choice in _list(entry.get("enum")) or [True, False]:
                if _text(choice) == field.value:
                    return choice
            return _refuse(field.value)
        case _:
            return field.value


def _entry(schema: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return _plain(schema, _mapping(schema.get("properties"))[name])


def _plain(schema: Mapping[str, Any], entry: Any) -> Mapping[str, Any]:
    """An entry without the wrappings that say nothing to a form: a reference into the schema, `or null`."""
    found = dict(_mapping(entry))
    variants = [one for one in _list(found.get("anyOf")) if _mapping(one).get("type") != "null"]
    if len(variants) == 1:
        found = {**_mapping(variants[0]), **{name: found[name] for name in found if name != "anyOf"}}
    reference = str(found.get("$ref", ""))
    if reference.startswith("#/$defs/"):
        target = _mapping(schema.get("$defs")).get(reference.removeprefix("#/$defs/"))
        found = {**_mapping(target), **{name: found[name] for name in found if name != "$ref"}}
    return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _sendable(value: Any) -> Any:
    """JSON that can go over the wire: no half characters, and not nested without end.

    Raises:
        ValueError: it can't.
    """
    json.dumps(value, ensure_ascii=False).encode()
    inner, depth = [value], 0
    while inner:
        depth += 1
        if depth > _DEEPEST:
            raise ValueError("nested too deep")
        inner = [
            each
            for outer in inner
            if isinstance(outer, dict | list)
            for each in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return value


def _refuse(text: str) -> Any:
    raise ValueError(text)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
