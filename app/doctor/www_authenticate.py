"""Reads challenges (RFC 9110 §11.6.1) as a tolerant client does."""

import re
from collections.abc import Iterable

_PARAMETER = re.compile(r'([A-Za-z0-9_!#$%&\'*+.^`|~-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_SCHEME = re.compile(r"(?:^|,)\s*([A-Za-z][A-Za-z0-9_-]*)(?=\s+[^\s=,]|\s*$|\s*,)")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')


def find_challenge(values: Iterable[str], scheme: str = "bearer") -> dict[str, str] | None:
    """The parameters of the first challenge of a scheme, by lower-case name; None if there is no such challenge."""
    for value in values:
        # What is quoted must not look like the beginning of another challenge.
        masked = _QUOTED.sub(lambda quoted: '"' + "x" * (len(quoted[0]) - 2) + '"', value)
        starts = [*_SCHEME.finditer(masked)]
        for number, start in enumerate(starts):
            if start[1].lower() == scheme:
                end = starts[number + 1].start() if number + 1 < len(starts) else len(value)
                return {
                    found[1].lower(): re.sub(r"\\(.)", r"\1", found[2]) if found[3] is None else found[3]
                    for found in _PARAMETER.finditer(value[start.end() : end])
                }
    return None
