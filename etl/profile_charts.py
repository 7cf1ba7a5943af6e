"""Charts of the profile's page as inline SVG: bars by day, by value and along a scale; every text is escaped here."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence

WIDTH = 920
LEFT, RIGHT, TOP, BOTTOM = 52, 8, 10, 24
#: Colours of kept rows, of held ones, and of what is stacked on them.
KEPT, HELD = "#4c78a8", "#e8a33d"
STACKED = ("#c44e52", "#8172b3", "#937860", "#da8bc3", "#64b5cd", "#8c8c8c")
#: Most letters of a value that came from outside.
MOST_LETTERS = 40


def safe(value: object, most: int = MOST_LETTERS) -> str:
    """A value that came from outside as HTML text: short, printable, escaped."""
    text = str(value)
    text = text if len(text) <= most else text[: most - 1] + "…"
    return html.escape("".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text))


def short(number: float) -> str:
    """A number of few letters.

    Example:
        >>> short(1234567.0), short(0.0312), short(7.0)
        ('1.23M', '0.0312', '7')
    """
    for size, letter in ((1e12, ""), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            return f"{number:.3g}" if not letter else f"{number / size:.3g}{letter}"
    return f"{number:.3g}"


def stacked(
    labels: Sequence[str], layers: Sequence[tuple[str, Sequence[float], str]], marked: Sequence[bool], height: int
) -> str:
    """Bars of layers on one another: (name, value of every bar, colour); the first layer's colour is HELD if marked."""
    totals = [sum(values[i] for _, values, _ in layers) for i in range(len(labels))]
    top = _ceiling(max(totals, default=0))
    step = (WIDTH - LEFT - RIGHT) / max(len(labels), 1)
    parts = [_grid(top, height)]
    room = height - TOP - BOTTOM
    for i, label in enumerate(labels):
        said = [f"{name} {values[i]:,.0f}" for name, values, _ in layers if values[i]]
        # A held day may have hardly a row: its whole column is tinted.
        base, drawn = height - BOTTOM, [_bar(LEFT + i * step, TOP, step, room, HELD, 0.3)] if marked[i] else []
        for number, (_, values, colour) in enumerate(layers):
            tall = room * values[i] / top
            base -= tall
            if tall:
                drawn.append(_bar(LEFT + i * step, base, step, tall, HELD if marked[i] and not number else colour))
        if drawn:
            parts.append(f"<g><title>{safe(label)}: {safe(', '.join(said), 400)}</title>{''.join(drawn)}</g>")
    return _drawing(parts + _ticks(labels, step, height), WIDTH, height)


def bars(labels: Sequence[str], values: Sequence[float], height: int, width: int) -> str:
    """Upright bars with as many labels as fit."""
    top = _ceiling(max(values, default=0))
    step = (width - LEFT - RIGHT) / max(len(labels), 1)
    parts = [_grid(top, height, width)]
    for i, (label, value) in enumerate(zip(labels, values)):
        tall = (height - TOP - BOTTOM) * value / top
        bar = _bar(LEFT + i * step, height - BOTTOM - tall, step, tall, KEPT)
        parts.append(f"<g><title>{safe(label)}: {value:,.0f}</title>{bar}</g>")
    return _drawing(parts + _ticks(labels, step, height, width), width, height)


def shares(counts: Mapping[str, float], others: float, width: int) -> str:
    """Lying bars, one a value, with its share of all; the share of all others is told without a bar."""
    total, most = (sum(counts.values()) + others) or 1, max(counts.values(), default=0) or 1
    row, name, room = 19, 150, width - 150 - 58
    shown = [(safe(value, 22), safe(value), count, room * count / most) for value, count in counts.items()]
    shown += [("all others", "all others", others, 0.0)] if others else []
    parts = []
    for i, (label, title, count, long) in enumerate(shown):
        y, share = i * row, count / total
        told = f"{share:.1%}" if share >= 0.001 else "&lt; 0.1%"
        bar = f'<rect x="{name}" y="{y + 2}" width="{long:.1f}" height="{row - 5}" fill="{KEPT}"/>' if long else ""
        parts.append(
            f"<g><title>{title}: {count:,.0f}</title>"
            f'<text x="{name - 6}" y="{y + 13}" text-anchor="end">{label}</text>{bar}'
            f'<text x="{name + long + 5:.1f}" y="{y + 13}">{told}</text></g>'
        )
    return _drawing(parts, width, row * len(shown) + 4)


def _drawing(parts: Sequence[str], width: int, height: int) -> str:
    return f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">{"".join(parts)}</svg>'


def _bar(x: float, y: float, wide: float, tall: float, colour: str, opacity: float = 1.0) -> str:
    gap = min(2.0, wide * 0.2)
    return (
        f'<rect x="{x + gap / 2:.2f}" y="{y:.2f}" width="{wide - gap:.2f}" height="{max(tall, 0.4):.2f}" '
        f'fill="{colour}" fill-opacity="{opacity:g}"/>'
    )


def _ceiling(value: float) -> float:
    """The next number with a round half, for the lines of the grid."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * step for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if value <= power * step * (1 + 1e-9))


def _grid(top: float, height: int, width: int = WIDTH) -> str:
    lines = []
    for share in (0.0, 0.5, 1.0):
        y = height - BOTTOM - share * (height - TOP - BOTTOM)
        lines.append(
            f'<line x1="{LEFT}" x2="{width - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>'
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{short(top * share)}</text>'
        )
    return "".join(lines)


def _ticks(labels: Sequence[str], step: float, height: int, width: int = WIDTH) -> list[str]:
    """Labels under bars, as many as do not touch, the first included."""
    if not labels:
        return []
    letters = max(map(len, labels))
    every = max(1, math.ceil((letters * 7 + 10) / step))
    every = next((nice for nice in (1, 2, 5, 10, 15, 30, 60, 90) if nice >= every), every)
    out = []
    for i in range(0, len(labels), every):
        x = min(max(LEFT + (i + 0.5) * step, LEFT + 10), width - letters * 3.5)
        out.append(f'<text x="{x:.1f}" y="{height - 7}" text-anchor="middle">{safe(labels[i])}</text>')
    return out
