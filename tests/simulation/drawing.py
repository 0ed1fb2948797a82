"""Lines over time as SVG: panels one below the other, legible on light and dark ground. Text in, text out."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

Points: TypeAlias = "Sequence[tuple[float, float]]"

WIDTH: Final = 860
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 76, 44
PANEL, GAP = 104, 34
MOST_POINTS: Final = 300
STYLES: Final = ("a", "b", "c", "d", "e", "f")
"""Lines differ in colour and in dashes, for those who do not tell colours apart."""
CSS: Final = """\
svg{--g:#fff;--t:#1f2328;--m:#59636e;--l:#d1d9e0;--a:#0969da;--b:#bc4c00;--c:#1a7f37;--d:#8250df;--e:#bf3989;--f:#57606a}
@media(prefers-color-scheme:dark){svg{--g:#0d1117;--t:#f0f6fc;--m:#9198a1;--l:#3d444d;--a:#4493f8;--b:#f0883e;--c:#3fb950;\
--d:#ab7df8;--e:#f778ba;--f:#9198a1}}
text{font:12px system-ui,sans-serif;fill:var(--m)}.h{font-size:15px;font-weight:600;fill:var(--t)}.p{fill:var(--t)}
.ground{fill:var(--g)}.grid{stroke:var(--l);stroke-width:1}path{fill:none;stroke-width:1.7;stroke-linejoin:round}
.a{stroke:var(--a)}.b{stroke:var(--b);stroke-dasharray:7 3}.c{stroke:var(--c);stroke-dasharray:2 2}
.d{stroke:var(--d);stroke-dasharray:9 2 2 2}.e{stroke:var(--e);stroke-dasharray:4 4}
.f{stroke:var(--f);stroke-dasharray:1 3}"""


@dataclass(frozen=True, slots=True)
class Panel:
    """One quantity of several runs: points of (seconds, value) by the run's name, in time order."""

    title: str
    lines: Mapping[str, Points]
    unit: str = ""


def picture(title: str, panels: Sequence[Panel]) -> str:
    """Return an SVG document. Every panel has the same runs, in the same order; time is on the x-axis."""
    names = list(panels[0].lines)
    latest = max(points[-1][0] for panel in panels for points in panel.lines.values())
    height = TOP + len(panels) * (PANEL + GAP) - GAP + BOTTOM
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{escape(title)}">',
        f"<title>{escape(title)}</title><style>{CSS}</style>",
        f'<rect class="ground" width="{WIDTH}" height="{height}"/>',
        _text(LEFT, 22, title, "h"),
        *_legend(names),
    ]
    for number, panel in enumerate(panels):
        parts += _panel(panel, TOP + number * (PANEL + GAP), latest)
    parts += _time_axis(height - BOTTOM, latest)
    return "\n".join([*parts, "</svg>", ""])


def thinned(points: Points, most: int = MOST_POINTS) -> list[tuple[float, float]]:
    """Return at most about ``most`` points, with each stretch's highest, so that no peak is lost."""
    stretch = ceil(len(points) / most)
    return [max(points[at : at + stretch], key=lambda point: point[1]) for at in range(0, len(points), stretch)]


def ticks(most: float, about: int = 3) -> list[float]:
    """Return round values from 0 up to the first one that is not below ``most``."""
    if most <= 0:
        return [0.0, 1.0]
    raw = most / about
    magnitude = 10.0 ** floor(log10(raw))
    step = next(factor * magnitude for factor in (1, 2, 2.5, 5, 10) if factor * magnitude >= raw)
    return [number * step for number in range(ceil(most / step) + 1)]


def short(value: float) -> str:
    """Return a number for an axis: 1.5M, 20k, 0.25."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def _panel(panel: Panel, top: float, latest: float) -> Iterator[str]:
    marks = ticks(max(value for points in panel.lines.values() for _, value in points))
    yield _text(LEFT, top - 7, f"{panel.title}{f' ({panel.unit})' if panel.unit else ''}", "p")
    for mark in marks:
        y = top + PANEL * (1 - mark / marks[-1])
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield _text(LEFT - 6, y + 4, short(mark), anchor="end")
    for style, points in zip(STYLES, panel.lines.values(), strict=False):
        placed = ((_x(at, latest), top + PANEL * (1 - value / marks[-1])) for at, value in thinned(points))
        yield f'<path class="{style}" d="{_path(placed)}"/>'


def _path(placed: Iterable[tuple[float, float]]) -> str:
    """Return a line in whole and tenth pixels, without the points that lie on the same height as both neighbours."""
    rounded = [(f"{x:.0f}", f"{y:.1f}".removesuffix(".0")) for x, y in placed]
    inner = zip(rounded, rounded[1:], rounded[2:], strict=False)
    kept = [here for before, here, after in inner if not before[1] == here[1] == after[1]]
    return "M" + "L".join(f"{x} {y}" for x, y in [rounded[0], *kept, *rounded[-1:]])


def _legend(names: Sequence[str]) -> Iterator[str]:
    x = float(LEFT)
    for style, name in zip(STYLES, names, strict=False):
        yield f'<path class="{style}" d="M{x:.0f} 38h26"/>'
        yield _text(x + 31, 42, name)
        x += 31 + 6.6 * len(name) + 18


def _time_axis(bottom: float, latest: float) -> Iterator[str]:
    size, unit = (3600, "hours") if latest > 3 * 3600 else (60, "minutes")
    for mark in ticks(latest / size, about=8):
        if mark * size <= latest:
            yield _text(_x(mark * size, latest), bottom + 18, short(mark), anchor="middle")
    yield _text(WIDTH - RIGHT, bottom + 36, unit, anchor="end")


def _x(at: float, latest: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * at / latest


def _text(x: float, y: float, words: str, style: str = "", anchor: str = "") -> str:
    style = f' class="{style}"' if style else ""
    anchor = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text x="{x:.0f}" y="{y:.0f}"{style}{anchor}>{escape(words)}</text>'
