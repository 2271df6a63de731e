"""The process model read from its BPMN, and what happened to a request followed on it, token by
token.

Only what the file says counts: nothing here knows the stages or the events. The model is followed
for any way through it that fits, because the file does not say what a gateway decides by.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element, fromstring

from domain.vocabulary import Stage

FILE = Path(__file__).parent.parent / "processes" / "service_request.bpmn"

_BPMN = "{http://www.omg.org/spec/BPMN/20100524/MODEL}"
_OURS = "{urn:aftersales:process:1}"
_TRIGGERS = ("message", "timer", "escalation", "conditional", "terminate")

Marking = tuple[str, ...]
"""Where the tokens are: the ids of nodes, sorted; a node twice holds two. Empty: it is over."""


class Left(NamedTuple):
    """Where something left the model.

    Attributes:
        place: which step it was, from 0.
        label: what happened that the model does not have there.
        stage: where the request stood in the model; None: that was not known.
        possible: what the model would have allowed.
    """

    place: int
    label: str
    stage: Stage | None
    possible: tuple[str, ...]

    def __str__(self) -> str:
        where = f" in {self.stage}" if self.stage else ""
        return f"step {self.place + 1}, {self.label}{where}: not in the model"


class Step(NamedTuple):
    """Something that happened, and the stage after it, where that is known."""

    label: str
    stage: Stage | None = None


class Walk(NamedTuple):
    """What became of following a request: the stage after each step, as far as the model went."""

    stages: tuple[Stage | None, ...]
    left: Left | None


@dataclass(frozen=True)
class Node:
    """A node of the model.

    Attributes:
        kind: BPMN's name for it, such as `receiveTask`.
        scope: the sub-process that it stands in; empty: the process itself.
        labels: what happens there, as a request's timeline has it: an event's type, `offered`,
            `accept.breached`.
        trigger: what an event waits for or causes: `message`, `timer` …
        code: the escalation's code.
        when: after which events its condition may have become true.
        host: what a boundary event is on.
        rule: the timing rule of a timer, and due: how long it runs.
    """

    id: str
    kind: str
    name: str
    scope: str
    labels: frozenset[str]
    trigger: str
    code: str
    when: frozenset[str]
    host: str
    interrupts: bool
    by_event: bool
    stage: Stage | None
    rule: str
    due: str
    starts: frozenset[str]
    stops: frozenset[str]


@dataclass
class Model:
    """A process model.

    Attributes:
        nodes: by id; follows: what comes after each node.
        events: every event type that a message of it brings.
    """

    nodes: dict[str, Node] = field(default_factory=dict)
    follows: dict[str, list[str]] = field(default_factory=dict)
    events: frozenset[str] = frozenset()

    @cached_property
    def _around(self) -> dict[str, tuple[str, ...]]:
        around: dict[str, tuple[str, ...]] = {}
        for node in self.nodes.values():  # A sub-process comes before what is in it.
            around[node.id] = (node.scope, *around[node.scope]) if node.scope else ()
        return around

    @cached_property
    def _doors(self) -> tuple[Node, ...]:
        """The nodes that wait for an event without a token of their own."""
        return tuple(
            node
            for node in self.nodes.values()
            if node.kind == "boundaryEvent"
            or (node.kind == "startEvent" and node.scope and self.nodes[node.scope].by_event)
        )

    # --- followed -------------------------------------------------------------------------------

    def follow(self, steps: Sequence[Step]) -> Walk:
        """Follow what happened, on every way through the model that fits.

        A step whose stage is known rules out the ways that would have led elsewhere.
        """
        ways: list[dict[Marking, Marking]] = []
        now: set[Marking] = {()}
        for place, step in enumerate(steps):
            reached: dict[Marking, Marking] = {}
            for marking in sorted(now):
                for after in self._after(marking, step.label, first=place == 0):
                    if step.stage in (None, self.stage(after)):
                        reached.setdefault(after, marking)
            if not reached:
                stages = self._stages(ways, now)
                possible = sorted({label for each in now for label in self.possible(each)})
                stood = {self.stage(each) for each in now}
                stage = stood.pop() if len(stood) == 1 and ways else None
                return Walk(stages, Left(place, step.label, stage, tuple(possible)))
            ways.append(reached)
            now = set(reached)
        return Walk(self._stages(ways, now), None)

    def stage(self, marking: Marking) -> Stage | None:
        """The stage that the tokens are in; None: between two of them, or complaints alone."""
        if not marking:
            return Stage.closed
        stages = {stage for node in marking if (stage := self._stage_of(node))}
        return stages.pop() if len(stages) == 1 else None

    def possible(self, marking: Marking) -> set[str]:
        """What may happen next."""
        return {label for node in self._waiting(marking) for label in node.labels}

    def moves(self) -> dict[tuple[Stage, str], set[Stage]]:
        """Everything the model can do: from a stage, by an event, into which stages.

        At most one token waits at each place; a second one opens no new way.
        """
        found: dict[tuple[Stage, str], set[Stage]] = {}
        ahead = list(self._after((), "received", first=True))
        seen = set(ahead)
        while ahead:
            marking = ahead.pop()
            before = self.stage(marking)
            if before is None:
                continue
            for label in self.possible(marking):
                into = found.setdefault((before, label), set())
                for after in self._after(marking, label):
                    once = tuple(sorted(set(after)))
                    if (stage := self.stage(once)) is None:
                        continue
                    into.add(stage)
                    if once not in seen:
                        seen.add(once)
                        ahead.append(once)
        return found

    def _stages(
        self, ways: list[dict[Marking, Marking]], ends: set[Marking]
    ) -> tuple[Stage | None, ...]:
        """The stage after each step on the way that was found first."""
        stages: list[Stage | None] = []
        marking = min(ends)
        for way in reversed(ways):
            stages.append(self.stage(marking))
            marking = way[marking]
        return tuple(reversed(stages))

    # --- one step -------------------------------------------------------------------------------

    def _after(self, marking: Marking, label: str, *, first: bool = False) -> set[Marking]:
        """Where the tokens may be after something happened."""
        if first:
            starts = [n for n in self._inside("") if n.kind == "startEvent" and label == n.id]
            return {m for n in starts for m in self._settle(self._leave(marking, n))}
        if label == Stage.closed and not marking:
            return {marking}
        reached: set[Marking] = set()
        for node in self._waiting(marking):
            if label in node.labels:
                for after in self._settle(self._happens(marking, node)):
                    reached |= {after, *self._conditions(after, label)}
        return reached

    def _waiting(self, marking: Marking) -> Iterator[Node]:
        """The nodes at which something may happen now."""
        if not marking:
            return
        active = {scope for node in marking for scope in self._scopes(node)}
        for token in dict.fromkeys(marking):
            node = self.nodes[token]
            if node.kind == "eventBasedGateway":
                yield from (self.nodes[each] for each in self.follows[token])
            elif node.labels:
                yield node
        yield from (node for node in self._doors if self._is_open(node, marking, active))

    def _is_open(self, node: Node, marking: Marking, active: set[str]) -> bool:
        """Whether an event that needs no token of its own may happen."""
        if node.kind == "boundaryEvent":
            return node.host in active or node.host in marking
        around = self.nodes[node.scope].scope
        return not around or around in active

    def _happens(self, marking: Marking, node: Node) -> Marking:
        """The tokens after something happened at this node, before they move on."""
        if node.kind == "boundaryEvent":
            kept = self._without(marking, node.host) if node.interrupts else marking
            return self._leave(kept, node)
        if node.kind == "startEvent":
            return self._leave(marking, node)
        gateways = (t for t in marking if node.id in self.follows[t] and self._is_choice(t))
        token = node.id if node.id in marking else next(gateways)
        return self._leave(_minus(marking, token), node)

    def _conditions(self, marking: Marking, label: str) -> set[Marking]:
        """Where the tokens may be if a condition became true by what happened."""
        reached: set[Marking] = set()
        active = {scope for node in marking for scope in self._scopes(node)}
        for node in self.nodes.values():
            if label in node.when and (node.host in active or node.id in marking):
                reached |= self._settle(self._happens(marking, node))
        return reached

    def _settle(self, marking: Marking) -> set[Marking]:
        """Every place where the tokens come to rest."""
        for token in dict.fromkeys(marking):
            moved = self._moved(marking, token)
            if moved is not None:
                return {rest for each in moved for rest in self._settle(each)}
        return {marking}

    def _moved(self, marking: Marking, token: str) -> list[Marking] | None:
        """Where one token goes by itself: on one of several ways; None: it rests."""
        node = self.nodes[token]
        without = _minus(marking, token)
        match node.kind:
            case "startEvent":
                return [self._leave(without, node)]
            case "subProcess":
                (start,) = (n for n in self._inside(token) if n.kind == "startEvent")
                return [_plus(without, start.id)]
            case "exclusiveGateway":
                return [_plus(without, each) for each in self.follows[token]]
            case "parallelGateway":
                needed = sum(token in targets for targets in self.follows.values())
                if marking.count(token) < needed:
                    return None
                return [self._leave(_minus(marking, *[token] * needed), node)]
            case "intermediateThrowEvent":
                return [self._leave(self._caused(without, node), node)]
            case "endEvent":
                return [self._ended(self._caused(without, node), node)]
        return None

    def _leave(self, marking: Marking, node: Node) -> Marking:
        return _plus(marking, *self.follows[node.id])

    def _caused(self, marking: Marking, node: Node) -> Marking:
        """The tokens after an event was caused: caught by the nearest that waits for it."""
        if node.trigger != "escalation":
            return marking
        scope = node.scope
        while True:
            for each in self.nodes.values():
                if each.trigger != "escalation" or each.code != node.code:
                    continue
                if each.kind == "boundaryEvent" and each.host == scope:
                    return self._happens(marking, each)
                box = self.nodes.get(each.scope)
                if each.kind == "startEvent" and box is not None and box.scope == scope:
                    return self._happens(marking, each)
            if not scope:
                return marking
            scope = self.nodes[scope].scope

    def _ended(self, marking: Marking, node: Node) -> Marking:
        """The tokens after one of them reached an end, and perhaps with it the sub-process."""
        scope = node.scope
        if node.trigger == "terminate":
            marking = self._without(marking, scope)
        interrupted = node.trigger == "escalation" and self._is_interrupted(node)
        goes_on = self._counts_tokens(scope) and any(scope in self._scopes(t) for t in marking)
        if interrupted or goes_on or not scope or self.nodes[scope].by_event:
            return marking
        return self._leave(marking, self.nodes[scope])

    def _is_interrupted(self, node: Node) -> bool:
        """Whether what this end causes ends the sub-process from outside."""
        around = {self.nodes[node.scope].id, *self._scopes(node.scope)} if node.scope else set()
        return any(
            each.kind == "boundaryEvent" and each.code == node.code and each.host in around
            for each in self.nodes.values()
            if each.trigger == "escalation"
        )

    def _counts_tokens(self, scope: str) -> bool:
        """Whether several tokens may be in one run of the sub-process, which all must end."""
        inside = list(self._inside(scope))
        return any(node.kind == "parallelGateway" or node.by_event for node in inside)

    # --- where ----------------------------------------------------------------------------------

    def _inside(self, scope: str) -> Iterator[Node]:
        return (node for node in self.nodes.values() if node.scope == scope)

    def _scopes(self, node: str) -> tuple[str, ...]:
        """The sub-processes around a node, the innermost first."""
        return self._around[node]

    def _stage_of(self, node: str) -> Stage | None:
        stages = (self.nodes[scope].stage for scope in self._scopes(node))
        return next((stage for stage in stages if stage), None)

    def _without(self, marking: Marking, box: str) -> Marking:
        """The tokens but for those in a sub-process, or at a task."""
        return tuple(t for t in marking if t != box and box not in self._scopes(t))

    def _is_choice(self, node: str) -> bool:
        return self.nodes[node].kind == "eventBasedGateway"


@cache
def standard() -> Model:
    """The service request's process as it is shipped."""
    return read(FILE.read_text(encoding="utf-8"))


def read(xml: str) -> Model:
    """The model in a BPMN file of ours."""
    root = fromstring(xml)  # noqa: S314 -- our own file
    messages = {
        message.attrib["id"]: frozenset(e.attrib["type"] for e in message.iter(f"{_OURS}event"))
        for message in root.iter(f"{_BPMN}message")
    }
    (process,) = root.iter(f"{_BPMN}process")
    model = Model(events=frozenset[str]().union(*messages.values()))
    _read_scope(model, process, "", messages)
    return model


def _read_scope(
    model: Model, scope: Element, name: str, messages: dict[str, frozenset[str]]
) -> None:
    for element in scope:
        kind = element.tag.removeprefix(_BPMN)
        if kind == "sequenceFlow":
            source, target = element.attrib["sourceRef"], element.attrib["targetRef"]
            model.follows.setdefault(source, []).append(target)
        elif "id" in element.attrib:
            node = _node(element, kind, name, messages)
            model.nodes[node.id] = node
            model.follows.setdefault(node.id, [])
            if kind == "subProcess":
                _read_scope(model, element, node.id, messages)


def _node(element: Element, kind: str, scope: str, messages: dict[str, frozenset[str]]) -> Node:
    given = element.attrib
    trigger, definition = _definition(element)
    ours = {
        child.tag.removeprefix(_OURS): child.attrib
        for child in element.iterfind(f"{_BPMN}extensionElements/*")
    }
    promise = ours.get("promise", {})
    stage = ours.get("stage", {}).get("name")
    conditions = element.iterfind(f"{_BPMN}extensionElements/{_OURS}when")
    labels = messages.get(given.get("messageRef", definition.get("messageRef", "")), frozenset())
    if kind == "serviceTask":
        labels = frozenset({given["id"]})
    elif trigger == "timer":
        named = f"{promise['rule']}.breached" if promise else given["id"]
        labels = frozenset({named})
    due = element.find(f"{_BPMN}timerEventDefinition/{_BPMN}timeDuration")
    return Node(
        id=given["id"],
        kind=kind,
        name=given.get("name", ""),
        scope=scope,
        labels=labels,
        trigger=trigger,
        code=definition.get("escalationRef", ""),
        when=frozenset(each.attrib["event"] for each in conditions),
        host=given.get("attachedToRef", ""),
        interrupts=given.get("cancelActivity", "true") == "true",
        by_event=given.get("triggeredByEvent") == "true",
        stage=Stage(stage) if stage else None,
        rule=promise.get("rule", ""),
        due=(due.text or "") if due is not None else "",
        starts=frozenset(promise.get("starts", "").split()),
        stops=frozenset(promise.get("stops", "").split()),
    )


def _definition(element: Element) -> tuple[str, dict[str, str]]:
    """What an event waits for or causes."""
    for trigger in _TRIGGERS:
        found = element.find(f"{_BPMN}{trigger}EventDefinition")
        if found is not None:
            return trigger, found.attrib
    return "", {}


def _plus(marking: Marking, *tokens: str) -> Marking:
    return tuple(sorted((*marking, *tokens)))


def _minus(marking: Marking, *tokens: str) -> Marking:
    left = list(marking)
    for token in tokens:
        left.remove(token)
    return tuple(left)
