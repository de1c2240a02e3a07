"""What the official conformance suite found, check by check, held against what we expect of it.

Its own exit code is not enough: it counts a server that answers 401 to everything as passing
some checks, and it accepts an expected failure that never ran.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

BAD = ("FAILURE", "WARNING")
GOOD = "SUCCESS"


@dataclass(frozen=True)
class Verdicts:
    """The worst status of each `scenario:check-id`."""

    statuses: Mapping[str, str]

    @property
    def failed(self) -> set[str]:
        """Checks that failed or warned."""
        return {name for name, status in self.statuses.items() if status in BAD}

    @property
    def passed(self) -> set[str]:
        """Checks that passed every time they ran."""
        return {name for name, status in self.statuses.items() if status == GOOD}

    def differences(self, expected: Mapping[str, str]) -> list[str]:
        """What is not as the list says; empty when all is well."""
        return [
            *(f"unexpected failure: {name}" for name in sorted(self.failed - expected.keys())),
            *(f"expected to fail, but did not: {name}" for name in sorted(expected.keys() - self.failed)),
        ]

    def keep(self, path: Path) -> None:
        """Leave the counts and the whole table for whoever reads about the run."""
        head = f"{len(self.passed)} passed, {len(self.failed)} failed as listed\n"
        rows = (f"{status:8} {name}\n" for name, status in sorted(self.statuses.items()))
        path.write_text(head + "".join(rows))


def read(results: Path, said: str) -> Verdicts:
    """Every check of every scenario that the suite said it ran, optional extensions left out."""
    statuses: dict[str, str] = {}
    optional = set(re.findall(r"^ +\S+ (\S+) \(extension\)$", said, re.MULTILINE))
    for scenario in re.findall(r"^=== Running scenario: (\S+) ===$", said, re.MULTILINE):
        if scenario in optional:
            continue
        for check, status in _checks(results, scenario):
            name = f"{scenario}:{check}"
            statuses[name] = _worse(statuses.get(name, status), status)
    return Verdicts(statuses)


def _checks(results: Path, scenario: str) -> list[tuple[str, str]]:
    """The recorded checks; a scenario that recorded none has failed as a whole."""
    stamped = re.compile(rf"^(authorization-)?server-{re.escape(scenario)}-\d{{4}}-\d\d-\d\dT[\dZ-]+$")
    for path in results.iterdir():
        record = path / "checks.json"
        if stamped.match(path.name) and record.exists():
            return [(check["id"], check["status"]) for check in json.loads(record.read_text())]
    return [(scenario, "FAILURE")]


def _worse(one: str, other: str) -> str:
    order = ("FAILURE", "WARNING", GOOD, "SKIPPED", "INFO")
    return min(one, other, key=order.index)


def expected_failures(path: Path) -> dict[str, str]:
    """The list of a revision: `scenario:check-id  # reason`, one a line, never without a reason."""
    expected = {}
    for line in path.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            name, _, reason = line.partition("#")
            assert reason.strip(), f"{path.name}: {name.strip()} has no reason"
            expected[name.strip()] = reason.strip()
    return expected
