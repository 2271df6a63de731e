"""The process map: what it counts is right, and nothing on it lies on top of another."""

import re
from datetime import timedelta
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import pytest

from audit.event_log import trace
from audit.event_names import EVENT_NAMES, english
from audit.facts import Fact, Place, Told
from audit.figures import STEPS, Figures, Spans
from audit.process_map import NODE, process_map, process_map_in_rows
from audit.wording import span
from domain.vocabulary import Stage
from runtime.scenarios import SCENARIOS
from tests.pure.builders import Story, given
from tests.pure.test_process_model import demonstrated

SVG = "{http://www.w3.org/2000/svg}"
LANGUAGES = ("en", "zh-CN")
SHOWN = Path(__file__).parents[2] / "docs" / "images" / "process-map.svg"


def counted(*stories: Story) -> Figures:
    figures = Figures()
    for story in stories:
        facts = tuple(Fact(line, Place("run", 1)) for line in story.lines)
        figures.add(trace(Told(story.request.number, {}, facts, story.now, story.request)))
    return figures


@cache
def demonstration() -> Figures:
    return counted(*(demonstrated(scenario) for scenario in SCENARIOS))


# --- figures --------------------------------------------------------------------------------------


def test_what_follows_what_is_counted_with_the_time_between() -> None:
    quick = given().did("responded", at="2m").offered(at="3m").did("cancelled", at="13m")
    slow = given().did("responded", at="4m").offered(at="5m").did("cancelled", at="19m")
    figures = counted(quick, slow, slow)
    assert figures.follows == {
        ("received", "responded"): 3,
        ("responded", "offered"): 3,
        ("offered", "cancelled"): 3,
        ("cancelled", "closed"): 3,
    }
    waited = figures.waits["received", "responded"].median
    assert waited is not None
    assert waited.total_seconds() == pytest.approx(240, rel=0.01)
    assert figures.commonest(1) == [
        (("received", "responded", "offered", "cancelled", "closed"), 3)
    ]
    assert (figures.requests, figures.outcomes) == (3, {"cancelled": 3})


def test_every_way_is_counted_however_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audit.figures.MOST_VARIANTS", 2)
    ways = [given().walked(last) for last in ("responded", "offered", "accepted", "appointed")]
    figures = counted(*ways, *ways, ways[0])
    assert figures.as_json()["variants_in_all"] == 4
    assert [count for _, count in figures.commonest(5)] == [3, 2]


def test_time_in_a_stage_is_counted_each_time() -> None:
    story = given().walked("appointed").did("no_show", at="4h")
    window = {"window_start": story.now, "window_end": story.now + timedelta(hours=2)}
    story.did("appointed", at="5h", **window).did("cancelled", at="6h")
    stages = counted(story).stages
    assert {stage: len(spans) for stage, spans in stages.items()} == {
        **{"response": 1, "dispatch": 1},
        **{"appointment": 2, "service": 2},
    }
    longest = stages[Stage.service].within(1)
    assert longest is not None
    assert longest.total_seconds() == pytest.approx(4 * 3600, rel=0.01)


@pytest.mark.parametrize("seconds", [1, 59, 600, 86_400, 30 * 86_400])
def test_a_length_is_kept_to_a_hundredth(seconds: int) -> None:
    spans = Spans()
    for factor in (0.2, 1, 1, 1, 5):
        spans.add(timedelta(seconds=seconds * factor))
    assert spans.median is not None
    assert spans.median.total_seconds() == pytest.approx(seconds, rel=0.01)


def test_no_time_at_all_is_none() -> None:
    spans = Spans()
    assert spans.median is None
    spans.add(timedelta())
    assert spans.median == timedelta()


def test_the_three_commonest_problems_come_first() -> None:
    late = given().passes("12m").did("responded").offered().did("declined", reason="too far")
    later = given().passes("12m").did("responded").offered().did("cancelled")
    fine = given().walked("surveyed")
    assert [(p.name, p.zh, p.requests) for p in counted(late, later, fine).problems] == [
        ("Promise broken: first_response", "超时：响应需求", 2),
        ("Cancelled", "取消", 1),
        ("Declined", "拒单", 1),
    ]
    assert counted(fine).problems == []


def test_a_request_that_left_the_model_is_named() -> None:
    story = given().walked("responded")
    (line,) = story.happened("responded")
    strange = line.model_copy(update={"name": "signed", "seq": line.seq + 100})
    story.effects.insert(story.effects.index(line), strange)
    figures = counted(story)
    assert figures.unfitting == [("CR20240520-001", "step 2, signed: not in the model")]


# --- the map --------------------------------------------------------------------------------------


class Box(NamedTuple):
    left: float
    top: float
    width: float
    height: float

    def meets(self, other: "Box") -> bool:
        return (
            self.left < other.left + other.width
            and other.left < self.left + self.width
            and self.top < other.top + other.height
            and other.top < self.top + self.height
        )


def boxes(drawn: ElementTree.Element, *, steps: bool) -> list[Box]:
    found = []
    for rect in drawn.iter(f"{SVG}rect"):
        if "rx" in rect.attrib and (rect.get("class") == "step") is steps:
            found.append(Box(*(float(rect.attrib[k]) for k in ("x", "y", "width", "height"))))
    return found


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_step_is_on_the_map_with_its_count_in_both_languages(language: str) -> None:
    figures = demonstration()
    drawn = process_map(figures, language)
    texts = [text.text or "" for text in ElementTree.fromstring(drawn).iter(f"{SVG}text")]
    assert set(figures.activities) <= STEPS
    for step, count in figures.activities.items():
        names = [english(step), EVENT_NAMES[step]]
        first, second = names if language == "en" else names[::-1]
        assert first in texts
        assert f"{second} · {count}" in texts


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_lies_on_top_of_another(language: str) -> None:
    drawn = ElementTree.fromstring(process_map(demonstration(), language))
    steps, labels = boxes(drawn, steps=True), boxes(drawn, steps=False)
    arrows = [path for path in drawn.iter(f"{SVG}path") if path.get("class")]
    assert len(steps) == len(demonstration().activities)
    assert len(labels) == len(arrows) > len(steps)
    for one, other in combinations([*steps, *labels], 2):
        assert not one.meets(other), (one, other)
    width, height = float(drawn.attrib["width"]), float(drawn.attrib["height"])
    for box in (*steps, *labels):
        assert 0 <= box.left <= box.left + box.width <= width
        assert 0 <= box.top <= box.top + box.height <= height


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_page_can_end_amid_a_step(language: str) -> None:
    """The pictures are the map, one below the other, and each step is whole in one of them."""
    whole = ElementTree.fromstring(process_map(demonstration(), language))
    rows = ElementTree.fromstring(f"<div>{process_map_in_rows(demonstration(), language)}</div>")
    tops = [0]
    for each in rows:
        left, top, width, height = (int(number) for number in each.attrib["viewBox"].split())
        assert (left, top, width) == (0, tops[-1], int(whole.attrib["width"]))
        assert (each.attrib["width"], each.attrib["height"]) == (str(width), str(height))
        tops.append(top + height)
    assert tops[-1] == int(whole.attrib["height"])
    first, *others = rows
    steps = boxes(first, steps=True)
    assert steps == boxes(whole, steps=True)
    assert len(others) == len({box.top for box in steps}) - 1
    for box in [*steps, *boxes(first, steps=False)]:
        assert not any(box.top < top < box.top + box.height for top in tops)
    (drawing,) = (each for each in first if each.get("id") == "process-map")
    # Its style comes along only if it holds what the style asks for.
    assert drawing.get("class") == "process-map"
    assert all(use.get("href") == "#process-map" for each in others for use in each)


def test_arrows_begin_and_end_at_the_steps_they_join() -> None:
    drawn = ElementTree.fromstring(process_map(demonstration()))
    steps = boxes(drawn, steps=True)
    middles = {(box.left + NODE[0] / 2, y) for box in steps for y in (box.top, box.top + NODE[1])}
    for path in drawn.iter(f"{SVG}path"):
        if path.get("class"):
            numbers = [float(n) for n in re.findall(r"-?\d+", path.attrib["d"])]
            for x, y in (numbers[:2], numbers[-2:]):
                assert any(abs(x - a) <= 1 and abs(y - b) <= 1 for a, b in middles)


def test_what_leads_back_is_drawn_as_such() -> None:
    story = given().walked("appointed").did("no_show", at="4h")
    window = {"window_start": story.now, "window_end": story.now + timedelta(hours=2)}
    story.did("appointed", **window).did("arrived").did("diagnosed").did("completed")
    plain = given().walked("surveyed")
    drawn = ElementTree.fromstring(process_map(counted(story, plain, plain)))
    classes = [path.get("class") for path in drawn.iter(f"{SVG}path") if path.get("class")]
    assert classes.count("back") == 1


def test_a_detour_hangs_on_what_it_leaves() -> None:
    story = given().walked("offered").did("declined").offered("E2").did("cancelled")
    drawn = ElementTree.fromstring(process_map(counted(story)))
    tops = {text.text: float(text.attrib["y"]) for text in drawn.iter(f"{SVG}text")}
    assert tops["Offered"] < tops["Declined"]
    assert min(tops[english(step)] for step in counted(story).activities) == tops["Received"]


def test_what_is_too_seldom_is_left_out_and_said_to_be() -> None:
    usual = [given().walked("surveyed") for _ in range(40)]
    odd = given().walked("responded").did("plan_told").offered().did("plan_told")
    odd.did("accepted").did("plan_told").did("cancelled")
    drawn = process_map(counted(*usual, odd))
    assert re.search(r"\d+ of \d+ steps lie on arrows too seldom", drawn)
    assert "too seldom" not in process_map(counted(*usual))


def test_a_step_that_repeats_itself_has_a_loop() -> None:
    story = given().walked("signed").did("call_unanswered").did("call_unanswered", at="1h")
    drawn = ElementTree.fromstring(process_map(counted(story.did("surveyed"))))
    labels = [text.text for text in drawn.iter(f"{SVG}text") if "count" in text.get("class", "")]
    assert "1 · 60 min" in labels or "1 · 1 h" in labels


def test_the_map_in_the_documents_is_the_demonstrations() -> None:
    committed, drawn = SHOWN.read_text(encoding="utf-8"), process_map(demonstration())
    assert committed == drawn, "run `.venv/bin/python -m tests.pure.test_process_map`"


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_map_needs_nothing_from_outside(language: str) -> None:
    drawn = process_map(demonstration(), language)
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|<script|@import|href", drawn)
    root = ElementTree.fromstring(drawn)
    assert root.get("lang") == language
    assert root.find(f"{SVG}title") is not None


@pytest.mark.parametrize(
    ("length", "en", "zh"),
    [
        (timedelta(), "0 s", "0 秒"),
        (timedelta(seconds=45), "45 s", "45 秒"),
        (timedelta(seconds=60), "1 min", "1 分钟"),
        (timedelta(minutes=12.3), "12 min", "12 分钟"),
        (timedelta(hours=3.5), "3.5 h", "3.5 小时"),
        (timedelta(days=5), "5 d", "5 天"),
    ],
)
def test_lengths_are_said_in_one_unit(length: timedelta, en: str, zh: str) -> None:
    said = [span(length.total_seconds(), zh=zh_, roughly=True) for zh_ in (False, True)]
    assert said == [en, zh]


if __name__ == "__main__":
    SHOWN.write_text(process_map(demonstration()), encoding="utf-8")
