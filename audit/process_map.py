"""The process as it was lived: which step followed which, how often and after how long, as SVG.

Laid out in layers, from the first step to the last: a step below those that it mostly follows.
Every arrow's label has a place of its own among the steps, so that nothing lies on top of another.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from graphlib import TopologicalSorter
from html import escape
from itertools import pairwise
from typing import NamedTuple

from audit.event_names import EVENT_NAMES, english
from audit.figures import Figures
from audit.wording import Count, span

SELDOM = 0.03
"""An arrow gone less often than this, for each request, is left out, unless a step hangs on it."""

NODE, LABEL, BEND = (168, 48), (96, 30), (14, 30)
GAP, ROW_GAP, MARGIN, HEAD = 18, 16, 24, 64
SWEEPS = 24

_WORDS = {
    "en": {
        "title": "How requests went",
        "subtitle": "{requests:request} · each arrow: how often, and the median time between",
        "left_out": "{count} of {all:step} lie on arrows too seldom to be drawn",
        "lang": "en",
    },
    "zh-CN": {
        "title": "服务请求的实际流程",
        "subtitle": "{requests} 个服务请求 · 箭头：次数与间隔时间中位数",
        "left_out": "{all} 步中有 {count} 步因路径过少未画出",
        "lang": "zh-CN",
    },
}

# In a page, a style holds for everything on it.
_STYLE = """\
.process-map text{font-family:"Helvetica Neue",Helvetica,Arial,"PingFang SC","Microsoft YaHei",\
"Noto Sans CJK SC","Noto Sans SC",sans-serif;fill:#22313a}
.process-map .head{font-size:18px;font-weight:600}
.process-map .note{font-size:12px;fill:#5d6b72}
.process-map .name{font-size:13px;font-weight:600;text-anchor:middle}
.process-map .other{font-size:11px;text-anchor:middle;fill:#3f4e56}
.process-map .step{stroke:#22616b;stroke-width:1.4}
.process-map .way{fill:none;stroke:#22616b}
.process-map .back{fill:none;stroke:#a8452a;stroke-dasharray:6 4}
.process-map .count{font-size:11px;text-anchor:middle}
.process-map .slow{font-weight:700;fill:#8a4b08}"""


class Point(NamedTuple):
    """A place in the picture."""

    x: float
    y: float


@dataclass(eq=False)
class _Spot:
    """Something with a place of its own: a step, an arrow's label, or where an arrow passes."""

    layer: int
    size: tuple[int, int]
    x: float = 0
    above: list["_Spot"] = field(default_factory=list)
    below: list["_Spot"] = field(default_factory=list)


@dataclass(eq=False)
class _Arrow:
    """One step directly after another."""

    one: str
    other: str
    count: int
    wait: timedelta
    spots: list[_Spot] = field(default_factory=list)
    label: _Spot | None = None
    backward: bool = False


def process_map(figures: Figures, language: str = "en") -> str:
    """The map as an SVG document of its own.

    Args:
        language: `en` or `zh-CN`; the other one stands smaller beside it.
    """
    drawn = _drawn(figures, language)
    return f"{drawn.opening(0, drawn.height)}\n{drawn.content}\n</svg>\n"


def process_map_in_rows(figures: Figures, language: str = "en") -> str:
    """The map for a page: a picture per row of steps, each right below the one before.

    Together they are the map; apart, they let a printed page end between two rows and not amid a
    step. The first holds the drawing, of which the others show their part.
    """
    drawn = _drawn(figures, language)
    # In what is shown once more no style reaches through: the class goes with it.
    drawing = f'<g id="process-map" class="process-map">\n{drawn.content}\n</g>'
    first, *others = pairwise([0, *drawn.cuts, drawn.height])
    pictures = [
        f"{drawn.opening(*first)}\n{drawing}\n</svg>",
        *(
            f'{drawn.frame(*rows)} aria-hidden="true"><use href="#process-map"/></svg>'
            for rows in others
        ),
    ]
    return "\n".join(pictures)


# --- what is drawn --------------------------------------------------------------------------------


def _kept(figures: Figures) -> list[_Arrow]:
    """The arrows that are drawn: those often gone, and by which each step is reached and left."""
    counts = figures.follows
    # Of two that were gone as often, the one out of the commoner step: it leads onward.
    ways = sorted(counts, key=lambda way: (-counts[way], -figures.activities[way[0]], way))
    kept = {way for way in ways if counts[way] >= figures.requests * SELDOM}
    for name in figures.activities:
        for end in (0, 1):
            # A loop neither leads to a step nor away from it.
            others = [way for way in ways if way[end] == name and way[0] != way[1]]
            kept.update(others[:1])
    return [
        _Arrow(*way, counts[way], figures.waits[way].median or timedelta())
        for way in ways
        if way in kept
    ]


def _ranks(figures: Figures, arrows: Iterable[_Arrow]) -> dict[str, int]:
    """The layer of each step: below every step that leads to it.

    What would close a circle leads back; the less often a way was gone, the sooner it is that one.
    """
    after: dict[str, set[str]] = {name: set() for name in figures.activities}
    for arrow in arrows:  # The commonest first.
        arrow.backward = arrow.one in _reached(after, arrow.other)
        if not arrow.backward:
            after[arrow.one].add(arrow.other)
    ranks = dict.fromkeys(after, 0)
    for name in TopologicalSorter(_turned(after)).static_order():
        for other in after[name]:
            ranks[other] = max(ranks[other], ranks[name] + 1)
    return ranks


def _reached(after: dict[str, set[str]], name: str) -> set[str]:
    """Everything that comes after a step, itself included."""
    reached, ahead = {name}, [name]
    while ahead:
        new = after[ahead.pop()] - reached
        reached |= new
        ahead += new
    return reached


def _turned(after: dict[str, set[str]]) -> dict[str, set[str]]:
    before: dict[str, set[str]] = {name: set() for name in after}
    for name, others in after.items():
        for other in others:
            before[other].add(name)
    return before


# --- where it is drawn ----------------------------------------------------------------------------


def _layered(steps: dict[str, _Spot], arrows: Iterable[_Arrow]) -> list[list[_Spot]]:
    """Steps and labels by layer; an arrow is a chain of spots from layer to layer."""
    layers: list[list[_Spot]] = [[] for _ in range(max(s.layer for s in steps.values()) + 1)]
    for spot in steps.values():
        layers[spot.layer].append(spot)
    for arrow in arrows:
        ends = (steps[arrow.one], steps[arrow.other])
        top, bottom = sorted(ends, key=lambda spot: spot.layer)
        between = range(top.layer + 1, bottom.layer)
        middle = between[len(between) // 2 // 2 * 2] if between else None
        spots = [_Spot(layer, LABEL if layer == middle else BEND) for layer in between]
        for spot in spots:
            layers[spot.layer].append(spot)
        chain = [top, *spots, bottom]
        for one, other in pairwise(chain):
            one.below.append(other)
            other.above.append(one)
        arrow.label = next((spot for spot in spots if spot.size == LABEL), None)
        arrow.spots = chain if ends[0] is top else chain[::-1]
    return layers


def _order(layers: list[list[_Spot]]) -> None:
    """Put the spots of each layer into an order with few crossings: near what they lead to."""
    place = {spot: n for layer in layers for n, spot in enumerate(layer)}
    best, fewest = [list(layer) for layer in layers], _crossings(layers, place)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for layer in layers if down else reversed(layers):

            def mean(spot: _Spot, down: bool = down) -> float:
                near = spot.above if down else spot.below
                own = place[spot]
                return sum(place[each] for each in near) / len(near) if near else own

            layer.sort(key=mean)
            place.update((spot, n) for n, spot in enumerate(layer))
        crossings = _crossings(layers, place)
        if crossings < fewest:
            best, fewest = [list(layer) for layer in layers], crossings
    layers[:] = best


def _crossings(layers: list[list[_Spot]], place: dict[_Spot, int]) -> int:
    count = 0
    for layer in layers:
        ways = [(place[a], place[b]) for a in layer for b in a.below]
        for n, (a, b) in enumerate(ways):
            count += sum((a - c) * (b - d) < 0 for c, d in ways[n + 1 :])
    return count


def _spread(layers: list[list[_Spot]]) -> None:
    """Give every spot its x: above and below its neighbours as far as there is room."""
    for layer in layers:
        x = 0.0
        for spot in layer:
            spot.x = x + spot.size[0] / 2
            x += spot.size[0] + GAP
        for spot in layer:
            spot.x -= x / 2
    for sweep in range(SWEEPS):
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            wished = [_wish(spot) for spot in layer]
            for spot, x in zip(layer, _with_room(layer, wished), strict=True):
                spot.x = x


def _wish(spot: _Spot) -> float:
    near = [each.x for each in (*spot.above, *spot.below)]
    return sum(near) / len(near) if near else spot.x


def _with_room(layer: Sequence[_Spot], wished: Sequence[float]) -> list[float]:
    """The places nearest to those wished for, with room for each and in the same order.

    Spots that would touch become a block that stands where its members wish on the average.
    """
    offsets = [0.0]
    for one, other in pairwise(layer):
        offsets.append(offsets[-1] + (one.size[0] + other.size[0]) / 2 + GAP)
    blocks: list[tuple[float, int]] = []
    for x, offset in zip(wished, offsets, strict=True):
        total, size = x - offset, 1
        while blocks and blocks[-1][0] / blocks[-1][1] > total / size:
            more, others = blocks.pop()
            total, size = total + more, size + others
        blocks.append((total, size))
    starts = [total / size for total, size in blocks for _ in range(size)]
    return [start + offset for start, offset in zip(starts, offsets, strict=True)]


# --- the picture ----------------------------------------------------------------------------------


class _Drawing(NamedTuple):
    """The map drawn.

    Attributes:
        cuts: the heights between two rows of steps.
    """

    width: int
    height: int
    cuts: list[int]
    title: str
    subtitle: str
    language: str
    content: str

    def opening(self, top: int, bottom: int) -> str:
        """The tag of a picture of all between two heights, with what the whole map is called."""
        return (
            f'{self.frame(top, bottom)} role="img" lang="{self.language}">\n'
            f"<title>{escape(self.title)}</title><desc>{escape(self.subtitle)}</desc>"
        )

    def frame(self, top: int, bottom: int) -> str:
        """The tag, not closed yet."""
        tall = bottom - top
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="process-map" '
            f'viewBox="0 {top} {self.width} {tall}" width="{self.width}" height="{tall}"'
        )


def _drawn(figures: Figures, language: str) -> _Drawing:
    arrows = _kept(figures)
    ranks = _ranks(figures, arrows)
    steps = {name: _Spot(2 * rank, NODE) for name, rank in ranks.items()}
    loops = [arrow for arrow in arrows if arrow.one == arrow.other]
    for arrow in loops:
        steps[arrow.one].size = (NODE[0] + 2 * LABEL[0], NODE[1])
    layers = _layered(steps, [arrow for arrow in arrows if arrow not in loops])
    _order(layers)
    _spread(layers)
    left = min(spot.x - spot.size[0] / 2 for layer in layers for spot in layer) - MARGIN
    right = max(spot.x + spot.size[0] / 2 for layer in layers for spot in layer) + MARGIN
    for layer in layers:
        for spot in layer:
            spot.x -= left
    rows, cuts, y = [], [], float(HEAD)
    for place, layer in enumerate(layers):
        tall = max((spot.size[1] for spot in layer), default=0)
        rows.append(y + tall / 2)
        y += tall + ROW_GAP
        if place % 2 == 0:
            # Below the steps, so that a label is with the step that its arrow leads to.
            cuts.append(round(y - ROW_GAP / 2))
    width, height = round(max(right - left, 560)), round(y + MARGIN)
    words = _WORDS[language]
    steps_taken = Count(sum(figures.follows.values()))
    left_out = steps_taken - sum(arrow.count for arrow in arrows)
    title = words["title"]
    subtitle = words["subtitle"].format(requests=Count(figures.requests))
    missing = words["left_out"].format(count=left_out, all=steps_taken)
    most = max((arrow.count for arrow in arrows), default=1)
    slow = sorted((arrow for arrow in arrows if arrow.wait), key=_wait, reverse=True)[:3]
    parts = [
        f"<style>{_STYLE}</style>",
        f"<defs>{_tip('tip', '#22616b')}{_tip('tip-back', '#a8452a')}</defs>",
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<text class="head" x="{MARGIN}" y="28">{escape(title)}</text>',
        f'<text class="note" x="{MARGIN}" y="46">{escape(subtitle)}'
        f"{f' · {escape(missing)}' if left_out else ''}</text>",
    ]
    parts += [_line(arrow, rows, most) for arrow in arrows if arrow.spots]
    parts += [_loop(arrow, steps[arrow.one], rows, most) for arrow in arrows if not arrow.spots]
    parts += [_step(name, steps[name], rows, figures, language) for name in steps]
    for arrow in arrows:
        parts.append(_label(arrow, steps, rows, language, slow=arrow in slow))
    content = "\n".join(parts)
    return _Drawing(width, height, cuts[:-1], title, subtitle, words["lang"], content)


def _wait(arrow: _Arrow) -> timedelta:
    return arrow.wait


def _tip(id: str, colour: str) -> str:
    return (
        f'<marker id="{id}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="9" markerHeight="9" '
        f'markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0.6 8 4 0 7.4Z" fill="{colour}"/>'
        "</marker>"
    )


def _line(arrow: _Arrow, rows: Sequence[float], most: int) -> str:
    points = [Point(spot.x, rows[spot.layer]) for spot in arrow.spots]
    down = points[-1].y > points[0].y
    half = NODE[1] / 2 if down else -NODE[1] / 2
    points[0] = Point(points[0].x, points[0].y + half)
    points[-1] = Point(points[-1].x, points[-1].y - half)
    # Down out of a step, on through the spots without a kink, and down into the other.
    slopes = [Point(0, 2 * half)]
    slopes += [
        Point((after.x - before.x) / 2, (after.y - before.y) / 2)
        for before, after in zip(points, points[2:], strict=False)
    ]
    slopes.append(slopes[0])
    path = f"M{points[0].x:.0f} {points[0].y:.0f}"
    for (one, leaves), (other, comes) in pairwise(zip(points, slopes, strict=True)):
        path += f"C{one.x + leaves.x / 3:.0f} {one.y + leaves.y / 3:.0f} "
        path += f"{other.x - comes.x / 3:.0f} {other.y - comes.y / 3:.0f} "
        path += f"{other.x:.0f} {other.y:.0f}"
    return _path(path, arrow, most)


def _loop(arrow: _Arrow, step: _Spot, rows: Sequence[float], most: int) -> str:
    x, y = step.x + NODE[0] / 2, rows[step.layer]
    path = f"M{x:.0f} {y - 12:.0f}C{x + 34:.0f} {y - 20:.0f} {x + 34:.0f} {y + 20:.0f} "
    return _path(f"{path}{x:.0f} {y + 12:.0f}", arrow, most)


def _path(path: str, arrow: _Arrow, most: int) -> str:
    kind, tip = ("back", "tip-back") if arrow.backward else ("way", "tip")
    width = 1 + 4 * math.sqrt(arrow.count / most)
    return f'<path class="{kind}" stroke-width="{width:.1f}" d="{path}" marker-end="url(#{tip})"/>'


def _step(name: str, spot: _Spot, rows: Sequence[float], figures: Figures, language: str) -> str:
    count = figures.activities[name]
    share = math.sqrt(count / max(figures.activities.values()))
    fill = "#" + "".join(
        f"{round(light + (dark - light) * share):02x}"
        for light, dark in zip((255, 255, 255), (190, 221, 220), strict=True)
    )
    left, top = spot.x - NODE[0] / 2, rows[spot.layer] - NODE[1] / 2
    names = [english(name), EVENT_NAMES[name]]
    first, second = names if language == "en" else names[::-1]
    return (
        f'<rect class="step" x="{left:.0f}" y="{top:.0f}" width="{NODE[0]}" height="{NODE[1]}" '
        f'rx="8" fill="{fill}"/>'
        f'<text class="name" x="{spot.x:.0f}" y="{top + 21:.0f}">{escape(first)}</text>'
        f'<text class="other" x="{spot.x:.0f}" y="{top + 38:.0f}">{escape(second)} · {count}</text>'
    )


def _label(
    arrow: _Arrow, steps: dict[str, _Spot], rows: Sequence[float], language: str, *, slow: bool
) -> str:
    if arrow.label is not None:
        x, y = arrow.label.x, rows[arrow.label.layer]
    else:
        step = steps[arrow.one]
        x, y = step.x + NODE[0] / 2 + LABEL[0] / 2 + 24, rows[step.layer]
    wait = span(arrow.wait.total_seconds(), zh=language == "zh-CN", roughly=True)
    said = f"{arrow.count} · {wait}"
    width = 12 + sum(12 if ord(sign) > 0x2E7F else 6.4 for sign in said)
    kind = "count slow" if slow else "count"
    return (
        f'<rect x="{x - width / 2:.0f}" y="{y - 9:.0f}" width="{width:.0f}" height="18" rx="9" '
        f'fill="#fff" fill-opacity="0.92"/>'
        f'<text class="{kind}" x="{x:.0f}" y="{y + 4:.0f}">{escape(said)}</text>'
    )
