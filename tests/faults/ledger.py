"""What clients were given and told while something broke; afterwards the books are compared with the database."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import asyncpg

# Of each foreign key, what points nowhere.
FOREIGN_KEYS = """
SELECT conrelid::regclass::text AS child, confrelid::regclass::text AS parent,
       (SELECT attname FROM pg_attribute WHERE attrelid = conrelid AND attnum = conkey[1]) AS child_column,
       (SELECT attname FROM pg_attribute WHERE attrelid = confrelid AND attnum = confkey[1]) AS parent_column
FROM pg_constraint WHERE contype = 'f'
"""
TWO_BRANCHES = """
SELECT grant_id FROM refresh_tokens JOIN grants ON grants.id = grant_id
WHERE spent_at IS NULL AND revoked_at IS NULL GROUP BY grant_id HAVING count(*) > 1
"""


@dataclass
class Ledger:
    """One for all clients of a test."""

    # How often which step was answered how: a status, or `broken` where no answer came.
    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    # Answers that no fault excuses.
    wrong: list[str] = field(default_factory=list)
    # How often a code was exchanged for tokens, and what each refresh token became.
    redeemed: Counter[str] = field(default_factory=Counter)
    successors: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    # Codes of which the answer was lost on the way: the client begins again.
    lost: int = 0

    def count(self, step: str, answer: object) -> None:
        """One more answer to a step."""
        self.answers[step, str(answer)] += 1

    def times(self, answer: str, step: str | None = None) -> int:
        """How often an answer was given, to one step or to all."""
        return sum(
            times for (of, what), times in self.answers.items() if what == answer and step in (None, of)
        )

    def assert_right(self) -> None:
        """Nothing wrong was answered, nothing was accepted twice, and nothing was taken for a mistake of ours."""
        assert self.wrong == []
        assert self.times("500") == 0
        assert not [code for code, times in self.redeemed.items() if times > 1]
        assert not [token for token, became in self.successors.items() if len(became) > 1]

    def __str__(self) -> str:
        return ", ".join(f"{step} {answer}: {n}" for (step, answer), n in sorted(self.answers.items()))


async def assert_sound(database: "asyncpg.Connection[Any]") -> None:
    """No row points nowhere, and no grant has two living branches of refresh tokens."""
    keys = await database.fetch(FOREIGN_KEYS)
    assert len(keys) > 10
    for key in keys:
        child, parent = key["child_column"], key["parent_column"]
        orphans = await database.fetchval(
            f"SELECT count(*) FROM {key['child']} AS child WHERE {child} IS NOT NULL AND NOT EXISTS"  # noqa: S608
            f" (SELECT 1 FROM {key['parent']} AS parent WHERE parent.{parent} = child.{child})"
        )
        assert orphans == 0, dict(key)
    assert await database.fetch(TWO_BRANCHES) == []
