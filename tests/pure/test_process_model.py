"""The process as it is drawn and the process as it is coded are one and the same."""

import re
from collections.abc import Callable
from typing import Any, Self, cast
from xml.etree import ElementTree

import pytest
from bpmn_io import check
from bpmn_io.bpmn_moddle import BpmnModdle
from bpmn_io.lint import Linter
from bpmn_io.lint.resolver import NodeResolver
from bpmn_io.moddle.base import ModdleElement
from hypothesis import given as drawn
from hypothesis import settings

from audit.conformance import steps as told_steps
from audit.event_names import EVENT_NAMES
from audit.model import FILE, Model, Step, read, standard
from domain.admission import ADMISSIONS
from domain.effects import Effect, Entry
from domain.events import EVENTS
from domain.intake import Brief
from domain.rules import PROMISES, Rule
from domain.values import parse_duration
from domain.vocabulary import Stage
from processes.draw import standard as as_drawn
from runtime.scenarios import OLD, SCENARIOS, Scenario
from tests.pure import journeys
from tests.pure.builders import REPAIR, STANDARD, Story, at, scores

MODEL = standard()
MOVES = MODEL.moves()
XML = FILE.read_text(encoding="utf-8")


# --- the file -------------------------------------------------------------------------------------


def test_the_committed_file_is_what_the_script_draws() -> None:
    assert as_drawn() == XML, "run `make process`, look at it and commit it"


def test_a_bpmn_checker_opens_it_and_finds_nothing_to_say() -> None:
    report = check(XML)
    assert (report.ok, report.errors, report.warnings) == (True, [], [])
    root = cast(ModdleElement, BpmnModdle().from_xml(XML).root_element)
    linter = Linter({"resolver": NodeResolver()})
    assert linter.lint(root, {"extends": "bpmnlint:recommended"}) == {}


def test_everything_that_is_drawn_has_a_place_and_a_name_in_both_languages() -> None:
    root = ElementTree.fromstring(XML)
    drawn_ids = {e.attrib["bpmnElement"] for e in root.iter() if "bpmnElement" in e.attrib}
    assert set(MODEL.nodes) <= drawn_ids
    for node in MODEL.nodes.values():
        if node.kind.endswith("Gateway") and not node.name:
            continue  # Where ways join, or news is waited for.
        assert re.search(r"[\u4e00-\u9fff]", node.name), f"{node.id} has no Chinese name"
        assert re.search(r"[A-Za-z]{2}", node.name), f"{node.id} has no English name"


# --- stages, events, rules ------------------------------------------------------------------------


def test_every_stage_is_drawn_and_no_other() -> None:
    stages = [node.stage for node in MODEL.nodes.values() if node.stage]
    assert sorted(stages) == sorted(Stage)


BY_ITSELF = ("received", "offered", "no_answer", "hold_ended", "closed")


def test_every_event_is_drawn_and_no_other() -> None:
    assert MODEL.events == set(EVENTS)
    assert set(EVENT_NAMES) == {*EVENTS, *BY_ITSELF}


def test_an_event_is_possible_where_the_code_admits_it_and_nowhere_else() -> None:
    possible = {(stage, label) for stage, label in MOVES if label in EVENTS}
    assert possible == {(stage, name) for name, row in ADMISSIONS.items() for stage in row.stages}


def test_every_rule_is_a_timer_with_the_standards_duration_and_no_other() -> None:
    timers = [node for node in MODEL.nodes.values() if node.rule]
    assert {Rule(node.rule) for node in timers} == set(PROMISES)
    for node in timers:
        promise, terms = PROMISES[Rule(node.rule)], STANDARD.rules[Rule(node.rule)]
        assert (node.starts, node.stops) == (promise.starts, promise.stops), node.id
        assert node.name.startswith(f"{node.rule} {promise.zh}"), node.id
        if node.due.startswith("policy:"):
            assert node.due == f"policy:rules.{node.rule}"
        else:
            assert parse_duration(node.due.removeprefix("PT").lower()) == terms.goal, node.id


def test_timers_do_not_interrupt_but_an_offer_that_nobody_answers_ends() -> None:
    timers = [node for node in MODEL.nodes.values() if node.rule]
    on_borders = {node.rule for node in timers if node.kind == "boundaryEvent"}
    assert on_borders == set(PROMISES) - {Rule.accept}
    assert not [node.id for node in timers if node.kind == "boundaryEvent" and node.interrupts]


# --- what leads where -----------------------------------------------------------------------------


class Told(Story):
    """A story, and after each thing that happened what the model is told of it."""

    def __init__(self, **changes: Any) -> None:
        super().__init__(**changes)
        self.steps = of(self.effects, self.request.stage)

    def _keep(self, effects: list[Effect]) -> Self:
        self.steps += of(effects, self.request.stage)
        return super()._keep(effects)


given = Told


def owing() -> Told:
    story = given(warranty={"in_force": False}).walked("diagnosed")
    return story.did("quoted").did("quote_approved").did("completed")


WITNESSES: dict[tuple[str, str, str], Callable[[], Told]] = {
    ("response", "responded", "dispatch"): lambda: given().walked("responded"),
    ("response", "reclassified", "dispatch"): lambda: (
        given(type="consultation")
        .did("responded")
        .did("reclassified", request_type="repair", urgency=None)
    ),
    ("response", "answered", "revisit"): lambda: given(type="consultation").did("answered"),
    ("response", "cancelled", "closed"): lambda: given().did("cancelled"),
    ("response", "cancelled", "complaint"): lambda: given().did("complained").did("cancelled"),
    ("dispatch", "accepted", "appointment"): lambda: given().walked("accepted"),
    ("dispatch", "accepted", "service"): lambda: (
        given().walked("appointed").did("assigned").did("accepted")
    ),
    ("dispatch", "cancelled", "closed"): lambda: given().walked("offered").did("cancelled"),
    ("dispatch", "cancelled", "complaint"): lambda: (
        given().walked("offered").did("complained").did("cancelled")
    ),
    ("appointment", "appointed", "service"): lambda: given().walked("appointed"),
    ("appointment", "assigned", "dispatch"): lambda: given().walked("accepted").did("assigned"),
    ("appointment", "cancelled", "closed"): lambda: given().walked("accepted").did("cancelled"),
    ("appointment", "cancelled", "complaint"): lambda: (
        given().walked("accepted").did("complained").did("cancelled")
    ),
    ("service", "assigned", "dispatch"): lambda: given().walked("appointed").did("assigned"),
    ("service", "no_show", "appointment"): lambda: given().walked("appointed").did("no_show"),
    ("service", "visit_needed", "appointment"): lambda: (
        given().walked("arrived").did("visit_needed")
    ),
    ("service", "resumed", "appointment"): lambda: (
        given().walked("appointed").did("held").did("resumed", at="6h")
    ),
    ("service", "hold_ends", "appointment"): lambda: (
        given().walked("appointed").did("held", until=at("9h")).passes("10h")
    ),
    ("service", "parts_arrived", "appointment"): lambda: (
        given().walked("appointed").did("parts_awaited").did("parts_arrived", at="6h")
    ),
    ("service", "completed", "sign_off"): lambda: given().walked("completed"),
    ("service", "cancelled", "closed"): lambda: given().walked("arrived").did("cancelled"),
    ("service", "cancelled", "complaint"): lambda: (
        given().walked("arrived").did("complained").did("cancelled")
    ),
    ("sign_off", "signed", "revisit"): lambda: given().walked("signed"),
    ("sign_off", "paid", "revisit"): lambda: owing().did("signed").did("paid"),
    ("revisit", "surveyed", "closed"): lambda: given().walked("surveyed"),
    ("revisit", "surveyed", "complaint"): lambda: (
        given().walked("signed").did("surveyed", scores=scores(1))
    ),
    ("complaint", "complaint_settled", "closed"): lambda: given(type="complaint").did(
        "complaint_settled"
    ),
}
"""For every move from stage to stage, a request that makes it with the last thing that happens."""


def test_every_way_from_stage_to_stage_is_one_that_a_request_can_go() -> None:
    drawn_ways = {
        (s, label, to) for (s, label), into in MOVES.items() for to in into if to is not s
    }
    assert drawn_ways == set(WITNESSES)


@pytest.mark.parametrize("way", WITNESSES, ids="-".join)
def test_a_request_goes_this_way(way: tuple[str, str, str]) -> None:
    before, label, after = way
    steps = WITNESSES[way]().steps
    walk = MODEL.follow(steps)
    assert walk.left is None, repr(walk.left)
    last = max(place for place, step in enumerate(steps) if step.label == label)
    assert (walk.stages[last - 1], walk.stages[last]) == (before, after)
    assert steps[-1].stage == after


@drawn(journeys.briefs, journeys.steps)
@settings(max_examples=60)
def test_whatever_happens_to_a_request_fits(start: Brief, path: list[journeys.Step]) -> None:
    journey = journeys.Journey(start)
    taken: list[Step] = []
    told = 0
    for step in (None, *path):
        if step is not None:
            journey.go(step)
        taken += of(journey.effects[told:], journey.request.stage)
        told = len(journey.effects)
    walk = MODEL.follow(taken)
    assert walk.left is None, repr(walk.left)


def demonstrated(scenario: Scenario) -> Told:
    """What happens to a request of the demonstration, each step when it is due."""
    body = scenario.body
    about = {name: body[name] for name in ("type", "urgency", "service_type") if name in body}
    out_of_warranty = body["product"]["purchased_on"] == OLD.isoformat()
    prices = {"压缩机电容": "80.00", "上门费": "50.00"}
    story = given(**about, warranty={"in_force": not out_of_warranty}, prices=prices)
    for step in scenario.steps:
        story.passes(story.now + step.after)
        if story.request.seeks_engineer:
            story.offered(None if step.event == "assigned" else f"E{len(story.request.offers)}")
        payload = dict(step.payload)
        if window := payload.pop("window", None):
            opens = story.now + window.opens
            payload |= {"window_start": opens, "window_end": opens + window.lasts}
        story.did(step.event, **payload)
    assert story.request.outcome == scenario.ends
    return story


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.title)
def test_every_request_of_the_demonstration_fits(scenario: Scenario) -> None:
    walk = MODEL.follow(demonstrated(scenario).steps)
    assert walk.left is None, repr(walk.left)


def of(effects: list[Effect], stage: Stage | None) -> list[Step]:
    """What of these effects the model speaks about; the stage is known after the last."""
    lines = [line for line in effects if isinstance(line, Entry)]
    return told_steps((line, stage if line is lines[-1] else None) for line in lines)


# --- what does not fit ----------------------------------------------------------------------------


def walked(*labels: str) -> list[Step]:
    return [Step("received", Stage.response), *map(Step, labels)]


def test_an_ordinary_repair_fits() -> None:
    walk = MODEL.follow(walked(*REPAIR))
    assert (walk.left, walk.stages[-1]) == (None, "closed")


@pytest.mark.parametrize(
    ("labels", "place", "stage"),
    [
        (["responded", "offered", "appointed"], 3, "dispatch"),
        (["responded", "offered", "responded"], 3, "dispatch"),
        (["responded", "offered", "accepted", "appointed", "signed"], 5, "service"),
        ([*REPAIR, "closed", "complained"], 11, "closed"),
        (["parts_arrived"], 1, "response"),
        (["responded", "offered", "accept.breached", "accepted"], 4, "dispatch"),
        (["responded", "offered", "declined", "accept.breached"], 4, "dispatch"),
        (["unheard_of"], 1, "response"),
    ],
)
def test_what_does_not_fit_is_named_where_it_leaves_the_model(
    labels: list[str], place: int, stage: str
) -> None:
    left = MODEL.follow(walked(*labels)).left
    assert left is not None
    assert (left.place, left.label, left.stage) == (place, labels[place - 1], stage)
    assert labels[place - 1] not in left.possible
    assert str(left) == f"step {place + 1}, {labels[place - 1]} in {stage}: not in the model"


def test_a_stage_that_the_model_does_not_lead_to_is_seen() -> None:
    left = MODEL.follow([Step("received", Stage.response), Step("responded", Stage.service)]).left
    assert left is not None
    assert (left.place, left.label) == (1, "responded")


BY_OTHER_WAYS = [
    ("responded", "assigned", "offered", "accepted"),
    ("responded", "offered", "assigned", "offered"),
    (*REPAIR[:6], "parts_awaited", "resumed", "completed"),
]


def without(id: str) -> Model:
    """The model without one shape and what leads to it."""
    root = ElementTree.fromstring(XML)
    for parent in root.iter():
        for child in list(parent):
            names = {child.get("id"), child.get("sourceRef"), child.get("targetRef")}
            if id in names:
                parent.remove(child)
    return read(ElementTree.tostring(root, "unicode"))


@pytest.mark.parametrize(
    "id", [node.id for node in MODEL.nodes.values() if node.kind == "receiveTask"]
)
def test_a_shape_that_is_missing_is_missed(id: str) -> None:
    lost = without(id)
    fits = all(lost.follow(walked(*labels)).left is None for labels in (REPAIR, *BY_OTHER_WAYS))
    assert lost.moves() != MOVES or not fits
