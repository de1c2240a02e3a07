"""QR codes: as a path for SVG, and as text for terminals."""

from dataclasses import dataclass

import segno

# The light margin that readers need around a code (ISO/IEC 18004 §6.3.8).
_QUIET = 4


@dataclass(frozen=True, slots=True)
class Drawing:
    """The dark modules of a code as an SVG path, in a square of `size` by `size` units."""

    path: str
    size: int


def draw(text: str) -> Drawing:
    """The code for a text."""
    rows = _modules(text)
    runs = [f"M{x} {y}h{length}v1h-{length}z" for y, row in enumerate(rows) for x, length in _dark_runs(row)]
    return Drawing("".join(runs), len(rows))


def draw_svg(text: str) -> str:
    """The code as a picture of its own, dark on light whatever it is shown on."""
    drawing = draw(text)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {drawing.size} {drawing.size}" '
        'shape-rendering="crispEdges">'
        f'<path fill="#fff" d="M0 0h{drawing.size}v{drawing.size}H0z"/><path d="{drawing.path}"/></svg>'
    )


def draw_text(text: str) -> str:
    """The code in block characters, two rows a line, for light letters on a dark terminal."""
    rows = _modules(text)
    rows.append([False] * len(rows))  # every code has an odd number of rows (ISO/IEC 18004 §6.3.1)
    blocks = {(False, False): "█", (False, True): "▀", (True, False): "▄", (True, True): " "}
    lines = [
        "".join(blocks[pair] for pair in zip(rows[y], rows[y + 1], strict=True))
        for y in range(0, len(rows), 2)
    ]
    return "\n".join(lines) + "\n"


def _modules(text: str) -> list[list[bool]]:
    """Rows of modules with the margin around them; True is dark."""
    code = segno.make(text, error="m", micro=False)
    return [[bool(module) for module in row] for row in code.matrix_iter(border=_QUIET)]


def _dark_runs(row: list[bool]) -> list[tuple[int, int]]:
    """Where a row is dark: start and length of each stretch."""
    runs: list[tuple[int, int]] = []
    for x, dark in enumerate(row):
        if dark and runs and sum(runs[-1]) == x:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        elif dark:
            runs.append((x, 1))
    return runs
