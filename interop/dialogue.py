"""The test's side of `clients/dialogue.mjs`: wait for an event, answer a question."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from interop.processes import Child, Command, running
from interop.toolbox import Toolbox

SECONDS = 60.0


@contextmanager
def talking(toolbox: Toolbox, home: Path, script: str, *arguments: str) -> Iterator[Child]:
    """One of our scripts, running."""
    command: Command = [toolbox.node, toolbox.clients / script, *arguments]
    with running(command, toolbox.environment(home), toolbox.clients) as child:
        yield child


def event(child: Child, name: str) -> dict[str, Any]:
    """The next event of this name."""
    line = child.expect(rf'^\{{"event":"{name}"', SECONDS).string
    told: dict[str, Any] = json.loads(line)
    return told
