"""Frozen records to rows: their fields are the columns (a parity test holds them equal)."""

from dataclasses import fields
from typing import Any


def values_of(record: Any) -> dict[str, Any]:
    """The fields of a frozen record, by column name."""
    return {field.name: getattr(record, field.name) for field in fields(record)}
