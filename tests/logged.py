"""The log as an operator reads it."""

import json
from collections.abc import Callable
from typing import Any

Configure = Callable[..., None]


def read_lines(written: str) -> list[dict[str, Any]]:
    """What was logged as JSON: every line is an object of its own."""
    return [json.loads(line) for line in written.splitlines()]
