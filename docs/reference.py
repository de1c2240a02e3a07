"""Directives that write the reference from the code, so that it can't say something else.

`{settings} NAME …`     settings: type, bounds and default from `app.settings.Settings`, the meaning from README's table
`{fields} CLASS`        the fields of one entry of a setting that is a JSON list
`{commands} GROUP …`    commands with what they take, from the command line itself
`{tables}`              the tables of the database with their comments, from the schema
`{endpoints} PATH …`    endpoints below these paths, from the OpenAPI description

Without names, each of them shows what no other one on the page showed: nothing can be forgotten.
"""

import re
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from docutils import nodes
from pydantic.fields import FieldInfo
from pygments.lexers.shell import BashLexer
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective
from sqlalchemy import Table
from typer.main import get_command

from app.cli import cli
from app.database import metadata
from app.routers.description import OPERATIONS, Operation
from app.settings import Settings

log = logging.getLogger(__name__)
ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
_INTO_PROJECT = re.compile(r"\[([^]]+)\]\(\.\./([\w./-]+)\)")
_DEFAULTS_THAT_DEPEND = {
    "public_url": "`http://localhost:PORT`",
    "secret_key": "made in `./data/` on loopback; required elsewhere",
    "mcp_sessions": "on with SQLite, off with PostgreSQL",
    "allowed_origins": "on loopback, loopback only; elsewhere any",
}
_BOUNDS = {
    "ge": "at least {}",
    "le": "at most {}",
    "min_length": "of at least {} characters",
    "max_length": "of at most {} characters",
    "pattern": "matching `{}`",
}


class _Generated(SphinxDirective):
    """A directive that writes MyST text and lets it be read in its own place."""

    optional_arguments = 1
    final_argument_whitespace = True

    def written(self, lines: Iterable[str]) -> list[nodes.Node]:
        """The nodes of this text."""
        return self.parse_text_to_nodes("\n".join(lines))

    def section(self, title: str, lines: Iterable[str]) -> nodes.section:
        """A section of the page, which can be linked to and stands in its table of contents."""
        section = nodes.section("", nodes.title("", "", nodes.literal("", title)))
        section["ids"] = [nodes.make_id(title)]
        section["names"] = [nodes.fully_normalize_name(title)]
        section += self.written(lines)
        return section

    def chosen(self, names: Iterable[str], fits: Callable[[str, tuple[str, ...]], bool]) -> list[str]:
        """The names that this directive is to show: those asked for, or else those that nobody asked for yet."""
        shown: set[str] = self.env.temp_data.setdefault(f"shown by {self.name}", set())
        asked = tuple(self.arguments[0].split()) if self.arguments else ()
        found = [each for each in names if (fits(each, asked) if asked else each not in shown)]
        if asked and not all(any(fits(each, (one,)) for each in found) for one in asked):
            raise self.error(f"there is nothing like one of {', '.join(asked)}")
        shown.update(found)
        return found


class SettingsDirective(_Generated):
    """Settings, by their names in the environment."""

    def run(self) -> list[nodes.Node]:
        """A section for each."""
        every = [name.upper() for name in Settings.model_fields]
        return [
            self.section(name, [_facts(name), "", _sentence(meaning_of(name))])
            for name in self.chosen(every, lambda name, asked: name in asked)
        ]


class FieldsDirective(_Generated):
    """The fields of a pydantic model."""

    def run(self) -> list[nodes.Node]:
        """A table with a row for each."""
        module, _, name = self.arguments[0].rpartition(".")
        model = getattr(import_module(module), name)
        rows = ["| field | type | default |", "|---|---|---|"]
        for field_name, field in model.model_fields.items():
            kind = ", ".join([_type_of(field.annotation, "a list of text"), *_bounds_of(field)])
            default = "required" if field.is_required() else _value(field.default)
            rows.append(f"| `{field_name}` | {kind} | {default} |")
        return self.written(rows)


class CommandsDirective(_Generated):
    """Commands, by their first word."""

    def run(self) -> list[nodes.Node]:
        """A section for each."""
        chosen = self.chosen(COMMANDS, lambda name, asked: name.split()[0] in asked)
        return [self.section(f"ostiary {name}", _described(name, COMMANDS[name])) for name in chosen]


class TablesDirective(_Generated):
    """The tables of the database."""

    def run(self) -> list[nodes.Node]:
        """A section for each, by name."""
        return [self.section(name, _columns(metadata.tables[name])) for name in sorted(metadata.tables)]


class EndpointsDirective(_Generated):
    """Endpoints, by how their paths begin."""

    def run(self) -> list[nodes.Node]:
        """A table."""
        every = {f"{method.upper()} {path}": each for (method, path), each in OPERATIONS.items()}
        rows = ["| method and path | what | takes | answers |", "|---|---|---|---|"]
        for name in self.chosen(every, lambda name, asked: name.split()[1].startswith(asked)):
            answers = ", ".join(map(str, sorted(every[name].answers)))
            rows.append(f"| `{name}` | {every[name].summary} | {_taken(every[name])} | {answers} |")
        return self.written(rows)


def meaning_of(name: str) -> str:
    """What README's table says of a setting; links into the repository become plain."""
    for line in README.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if len(cells) == 3 and f"`{name}`" in cells[0]:
            return re.sub(r"\[([^]]+)\]\((?!https:)[^)]+\)", r"\1", cells[2]).replace("\\|", "|")
    raise LookupError(f"README does not describe {name}")


def _columns(table: Table) -> list[str]:
    rows = [f"{table.comment}.", "", "| column | type | what |", "|---|---|---|"]
    for column in table.columns:
        points = [f"the `{key.column.name}` of `{key.column.table.name}`" for key in column.foreign_keys]
        what = "; ".join(each for each in (column.comment, *points) if each)
        kind = f"{column.type}".lower() + ("" if column.nullable or column.primary_key else ", always there")
        rows.append(f"| `{column.name}` | {kind} | {what} |")
    return rows


def _commands(path: tuple[str, ...], command: Any) -> Iterator[tuple[str, Any]]:
    if not hasattr(command, "commands"):
        yield " ".join(path), command
        return
    for name, inner in command.commands.items():
        yield from _commands((*path, name), inner)


COMMANDS: Mapping[str, Any] = dict(_commands((), get_command(cli)))


def _described(name: str, command: Any) -> list[str]:
    takes = [each for each in command.params if each.name != "help"]
    options = ["[OPTIONS]"] if any(each.param_type_name == "option" for each in takes) else []
    arguments = [each for each in takes if each.param_type_name == "argument"]
    words = [each.name.upper() if each.required else f"[{each.name.upper()}]" for each in arguments]
    lines = [" ".join((command.help or "").split()), "", "```text"]
    lines += [" ".join(["ostiary", name, *options, *words]), "```", ""]
    if takes:
        lines += ["| takes | meaning |", "|---|---|"]
        lines += [f"| {_spelling(each)} | {_meaning(each)} |" for each in takes]
    return lines


def _spelling(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{parameter.name.upper()}`"
    value = "" if parameter.is_flag else f" {_word_for(parameter.type_descriptor.annotation)}"
    return f"`{' '.join(parameter.opts)}{value}`"


def _word_for(annotation: Any) -> str:
    """What stands for a value of this type in the usage of a command."""
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) is typing.Literal:
        return "/".join(arguments)
    if arguments:
        return _word_for(next(each for each in arguments if each is not types.NoneType))
    return {str: "TEXT", int: "NUMBER", float: "NUMBER", datetime: "TIME", Path: "FILE"}[annotation]


def _meaning(parameter: Any) -> str:
    text = " ".join((parameter.help or "").split())
    default = parameter.default
    told = isinstance(default, int | str) and not isinstance(default, bool)
    return f"{text} Default: `{default}`." if told else text


def _taken(operation: Operation) -> str:
    if operation.body is not None:
        return "JSON: " + ", ".join(f"`{name}`" for name in operation.body["properties"])
    names = [
        f"**`{name}`**" if name in operation.required else f"`{name}`"
        for name in (*operation.form, *operation.query)
    ]
    return ", ".join(names) or "–"


def _facts(name: str) -> str:
    field = Settings.model_fields[name.lower()]
    kind = ", ".join(
        [_type_of(field.annotation, "a list, separated by commas or spaces"), *_bounds_of(field)]
    )
    default = _DEFAULTS_THAT_DEPEND.get(name.lower(), _value(field.default))
    return f"{_sentence(kind)} Default: {default}."


def _sentence(text: str) -> str:
    """README's cells begin small and end without a stop."""
    return f"{text[0].upper()}{text[1:]}" + ("" if text.endswith((".", ":")) else ".")


def _type_of(annotation: Any, of_list: str) -> str:
    """A type in words for people."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in {typing.Union, types.UnionType}:
        return " or ".join(_type_of(each, of_list) for each in arguments if each is not types.NoneType)
    if origin is typing.Annotated:
        return _type_of(arguments[0], of_list)
    if origin is typing.Literal:
        return "one of " + ", ".join(f"`{each}`" for each in arguments)
    if origin is tuple:
        return "a JSON list of objects" if hasattr(arguments[0], "model_fields") else of_list
    words = {str: "text", int: "a whole number", bool: "`true` or `false`", float: "a number"}
    return words[annotation]


def _bounds_of(field: FieldInfo) -> list[str]:
    values = ((word, _bound(field, name)) for name, word in _BOUNDS.items())
    return [word.format(value) for word, value in values if value is not None]


def _bound(field: FieldInfo, name: str) -> Any:
    found = (getattr(constraint, name, None) for constraint in field.metadata)
    return next((value for value in found if value is not None), None)


def _value(value: Any) -> str:
    if value is None or value in ((), ""):
        return "unset"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{', '.join(value)}`" if isinstance(value, tuple) else f"`{value}`"


def _plain(_app: Sphinx, page: str, source: list[str]) -> None:
    """Links to files of the project lead nowhere from the built pages: there they are plain text."""
    for target in _INTO_PROJECT.findall(source[0]):
        if not (ROOT / target[1]).exists():
            log.warning("%s links to %s, which is not there", page, target[1])
    source[0] = _INTO_PROJECT.sub(r"\1", source[0])


def setup(app: Sphinx) -> dict[str, Any]:
    """Make the directives known."""
    app.connect("source-read", _plain)
    app.add_directive("settings", SettingsDirective)
    app.add_directive("fields", FieldsDirective)
    app.add_directive("commands", CommandsDirective)
    app.add_directive("tables", TablesDirective)
    app.add_directive("endpoints", EndpointsDirective)
    # A file `.env`; a test lets the settings read every one on the pages.
    app.add_lexer("env", BashLexer)
    return {"parallel_read_safe": True}
