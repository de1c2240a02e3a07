"""How commands answer: a table for people, JSON with --json, one sentence when they refuse."""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def refuse(sentence: str) -> NoReturn:
    """Say in one sentence why not, and exit with 1."""
    typer.echo(sentence, err=True)
    raise typer.Exit(1)


def show_rows(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], as_json: bool) -> None:
    """Print many things."""
    if as_json:
        typer.echo(json.dumps(rows, default=_jsonable, indent=2))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        # Text, not markup: names come from strangers.
        table.add_row(*(Text(_readable(row[column])) for column in columns))
    _console().print(table)


def show_one(row: Mapping[str, Any], as_json: bool) -> None:
    """Print one thing, a line a field."""
    if as_json:
        typer.echo(json.dumps(row, default=_jsonable, indent=2))
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in row.items():
        table.add_row(name.replace("_", " "), Text(_readable(value)))
    _console().print(table)


def _console() -> Console:
    # Not cut to a terminal's width when another program reads the output.
    return Console(width=None if sys.stdout.isatty() else 240, highlight=False)


def _readable(value: Any) -> str:
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.strftime("%Y-%m-%d %H:%M:%S UTC")
        case list() | tuple():
            return "\n".join(str(entry) for entry in value) or "–"
        case dict():
            return json.dumps(value, ensure_ascii=False) if value else "–"
        case _:
            # Control characters could rewrite the terminal.
            return "".join(letter if letter.isprintable() else "�" for letter in str(value))


def _jsonable(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON form")
