"""A BPMN 2.0 diagram put down shape by shape: the semantics and the layout in one go.

Shapes are placed by their middle, flows run at right angles. What a shape means to Aftersales
(which event it waits for, which promise it keeps) stands in extension elements of our namespace.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element, SubElement, indent, register_namespace, tostring

BPMN = "http://www.omg.org/spec/BPMN/20100524/MODEL"
BPMNDI = "http://www.omg.org/spec/BPMN/20100524/DI"
DC = "http://www.omg.org/spec/DD/20100524/DC"
DI = "http://www.omg.org/spec/DD/20100524/DI"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
OURS = "urn:aftersales:process:1"

for _prefix, _uri in {
    "bpmn": BPMN,
    "bpmndi": BPMNDI,
    "dc": DC,
    "di": DI,
    "xsi": XSI,
    "aftersales": OURS,
}.items():
    register_namespace(_prefix, _uri)

EVENT, GATEWAY, TASK = (36, 36), (50, 50), (136, 60)

# The order that the BPMN schema wants within an element.
_ORDER = ("documentation", "extensionElements", "incoming", "outgoing")


class Point(NamedTuple):
    """A place on the page, in pixels from the top left."""

    x: float
    y: float


@dataclass
class Shape:
    """A node of the process and where it is drawn.

    Attributes:
        at: its middle.
        label: where its name is written when not inside or right below, and how wide.
    """

    id: str
    element: Element
    at: Point
    size: tuple[int, int]
    label: tuple[float, float, int] | None = None
    expanded: bool = False

    @property
    def left(self) -> float:
        """The x of its left side."""
        return self.at.x - self.size[0] / 2

    @property
    def top(self) -> float:
        """The y of its upper side."""
        return self.at.y - self.size[1] / 2

    def faces(self, other: Shape) -> bool:
        """Whether the other's middle lies straight above, below or beside this shape."""
        across = abs(self.at.x - other.at.x) < self.size[0] / 2 if self.expanded else False
        along = abs(self.at.y - other.at.y) < self.size[1] / 2 if self.expanded else False
        return across or along or self.at.x == other.at.x or self.at.y == other.at.y

    def docks(self, toward: Point) -> Point:
        """Where a line that comes from there meets the border."""
        half_width, half_height = self.size[0] / 2, self.size[1] / 2
        if abs(toward.x - self.at.x) < half_width:
            below = toward.y > self.at.y
            return Point(toward.x, self.at.y + (half_height if below else -half_height))
        right = toward.x > self.at.x
        return Point(self.at.x + (half_width if right else -half_width), toward.y)


def tag(name: str, namespace: str = BPMN) -> str:
    """`name` with its namespace, as ElementTree writes it."""
    return f"{{{namespace}}}{name}"


class Diagram:
    """One process with its drawing.

    Args:
        id: the process's id.
        name: what people read above it.
    """

    def __init__(self, id: str, name: str, documentation: str) -> None:
        self._root = Element(
            tag("definitions"),
            {"id": f"{id}_definitions", "targetNamespace": OURS, "exporter": "Aftersales"},
        )
        self._process = Element(tag("process"), {"id": id, "name": name, "isExecutable": "false"})
        SubElement(self._process, tag("documentation")).text = documentation
        self._scopes = [self._process]
        self._shapes: dict[str, Shape] = {}
        self._flows: list[tuple[str, list[Point], tuple[float, float] | None]] = []
        self._named: dict[str, Element] = {}

    # --- what others refer to -------------------------------------------------------------------

    def message(self, id: str, name: str, events: Iterable[str]) -> str:
        """A message that brings one of these events."""
        if id not in self._named:
            message = self._named[id] = Element(tag("message"), {"id": id, "name": name})
            inside = SubElement(message, tag("extensionElements"))
            for event in events:
                SubElement(inside, tag("event", OURS), {"type": event})
        return id

    def escalation(self, id: str, name: str) -> str:
        """Something that is passed up to whoever handles it."""
        code = {"id": id, "name": name, "escalationCode": id}
        self._named.setdefault(id, Element(tag("escalation"), code))
        return id

    # --- nodes ----------------------------------------------------------------------------------

    @contextmanager
    def box(
        self,
        id: str,
        name: str,
        corner: tuple[float, float],
        size: tuple[int, int],
        *,
        by_event: bool = False,
        stage: str | None = None,
        documentation: str = "",
    ) -> Iterator[Shape]:
        """A sub-process, drawn open; what is added meanwhile is inside it."""
        attributes = {"triggeredByEvent": "true"} if by_event else {}
        middle = Point(corner[0] + size[0] / 2, corner[1] + size[1] / 2)
        shape = self._add("subProcess", id, name, middle, size, attributes, documentation)
        shape.expanded = True
        if stage is not None:
            self.extend(shape, "stage", {"name": stage})
        self._scopes.append(shape.element)
        yield shape
        self._scopes.pop()

    def start(
        self,
        id: str,
        name: str,
        at: tuple[float, float],
        *,
        interrupts: bool = True,
        **trigger: Any,
    ) -> Shape:
        """A start event."""
        attributes = {} if interrupts else {"isInterrupting": "false"}
        return self._event("startEvent", id, name, at, attributes, trigger)

    def end(self, id: str, name: str, at: tuple[float, float], **result: Any) -> Shape:
        """An end event."""
        return self._event("endEvent", id, name, at, {}, result)

    def catch(self, id: str, name: str, at: tuple[float, float], **trigger: Any) -> Shape:
        """An event that is waited for."""
        return self._event("intermediateCatchEvent", id, name, at, {}, trigger)

    def throw(self, id: str, name: str, at: tuple[float, float], **result: Any) -> Shape:
        """An event that is caused."""
        return self._event("intermediateThrowEvent", id, name, at, {}, result)

    def boundary(
        self,
        id: str,
        name: str,
        on: Shape,
        at: tuple[float, float],
        *,
        interrupts: bool,
        **trigger: Any,
    ) -> Shape:
        """An event on the border of a box."""
        attributes = {"attachedToRef": on.id, "cancelActivity": str(interrupts).lower()}
        return self._event("boundaryEvent", id, name, at, attributes, trigger)

    def task(
        self,
        kind: str,
        id: str,
        name: str,
        at: tuple[float, float],
        documentation: str = "",
        **more: str,
    ) -> Shape:
        """A task of this kind, such as `serviceTask`."""
        # The Chinese name has the first line to itself, beside the task's sign.
        lines = name.replace(" ", "\n", 1)
        return self._add(kind, id, lines, Point(*at), TASK, more, documentation)

    def gateway(
        self, id: str, at: tuple[float, float], name: str = "", kind: str = "exclusive"
    ) -> Shape:
        """A gateway: exclusive, parallel or eventBased."""
        shape = self._add(f"{kind}Gateway", id, name, Point(*at), GATEWAY, {}, "")
        if name:
            shape.label = (at[0] + 12, at[1] - 48, 110)
        return shape

    def extend(self, shape: Shape, name: str, attributes: Mapping[str, str]) -> None:
        """Say something about the shape that BPMN has no word for."""
        inside = shape.element.find(tag("extensionElements"))
        if inside is None:
            inside = SubElement(shape.element, tag("extensionElements"))
        SubElement(inside, tag(name, OURS), dict(attributes))

    # --- flows ----------------------------------------------------------------------------------

    def flow(
        self,
        source: Shape,
        target: Shape,
        *via: tuple[float, float],
        name: str = "",
        label: tuple[float, float] | None = None,
    ) -> None:
        """What comes after what; without `via` the line turns once, or not at all."""
        id = f"{source.id}_to_{target.id}"
        attributes = {"id": id, "sourceRef": source.id, "targetRef": target.id}
        if name:
            attributes["name"] = name
        SubElement(self._scopes[-1], tag("sequenceFlow"), attributes)
        for shape, end in ((source, "outgoing"), (target, "incoming")):
            SubElement(shape.element, tag(end)).text = id
        turns = [Point(*each) for each in via] or _turn(source, target)
        first = source.docks(turns[0] if turns else _ahead(source, target))
        last = target.docks(turns[-1] if turns else _ahead(target, source))
        self._flows.append((id, [first, *turns, last], label))

    # --- written --------------------------------------------------------------------------------

    def written(self) -> str:
        """The diagram as XML."""
        for element in list(self._process.iter()):
            element[:] = sorted(element, key=_place)
        self._root[:] = [*self._named.values(), self._process, self._drawing()]
        indent(self._root)
        return f'<?xml version="1.0" encoding="UTF-8"?>\n{tostring(self._root, "unicode")}\n'

    def _event(
        self,
        kind: str,
        id: str,
        name: str,
        at: tuple[float, float],
        attributes: Mapping[str, str],
        definition: Mapping[str, Any],
    ) -> Shape:
        label = definition.get("label")
        documentation = definition.get("documentation", "")
        shape = self._add(kind, id, name, Point(*at), EVENT, attributes, documentation)
        x, y = at
        shape.label = label or (x - 35, y + 22, 70)
        for what, value in definition.items():
            if what not in ("label", "documentation") and value is not None:
                self._define(shape, what, value)
        return shape

    def _define(self, shape: Shape, what: str, value: Any) -> None:
        """Give an event its trigger or its result."""
        attributes = {"id": f"{shape.id}_{what}"}
        if what in ("message", "escalation") and value is not True:
            attributes[f"{what}Ref"] = value
        definition = SubElement(shape.element, tag(f"{what}EventDefinition"), attributes)
        inner = {"timer": "timeDuration", "conditional": "condition"}.get(what)
        if inner is not None:
            formal = SubElement(
                definition, tag(inner), {tag("type", XSI): "bpmn:tFormalExpression"}
            )
            formal.text = value

    def _add(
        self,
        kind: str,
        id: str,
        name: str,
        at: Point,
        size: tuple[int, int],
        attributes: Mapping[str, str],
        documentation: str,
    ) -> Shape:
        named = {"name": name} if name else {}
        element = SubElement(self._scopes[-1], tag(kind), {"id": id, **named, **attributes})
        if documentation:
            SubElement(element, tag("documentation")).text = documentation
        if id in self._shapes:
            raise ValueError(f"two shapes are called {id}")
        shape = self._shapes[id] = Shape(id, element, at, size)
        return shape

    def _drawing(self) -> Element:
        diagram = Element(tag("BPMNDiagram", BPMNDI), {"id": "diagram"})
        plane = SubElement(
            diagram,
            tag("BPMNPlane", BPMNDI),
            {"id": "plane", "bpmnElement": self._process.attrib["id"]},
        )
        for shape in self._shapes.values():
            more = {"isExpanded": "true"} if shape.expanded else {}
            if shape.element.tag == tag("exclusiveGateway"):
                more["isMarkerVisible"] = "true"
            drawn = SubElement(
                plane,
                tag("BPMNShape", BPMNDI),
                {"id": f"{shape.id}_shape", "bpmnElement": shape.id, **more},
            )
            _bounds(drawn, shape.left, shape.top, *shape.size)
            if shape.label is not None:
                x, y, width = shape.label
                _bounds(SubElement(drawn, tag("BPMNLabel", BPMNDI)), x, y, width, 28)
        for id, points, label in self._flows:
            drawn = SubElement(
                plane, tag("BPMNEdge", BPMNDI), {"id": f"{id}_edge", "bpmnElement": id}
            )
            for point in points:
                SubElement(drawn, tag("waypoint", DI), {"x": f"{point.x:g}", "y": f"{point.y:g}"})
            if label is not None:
                _bounds(SubElement(drawn, tag("BPMNLabel", BPMNDI)), *label, 40, 14)
        return diagram


def _turn(source: Shape, target: Shape) -> list[Point]:
    """Out of a gateway upwards or downwards first, into one as the last thing."""
    if source.faces(target) or target.faces(source):
        return []
    if source.size == GATEWAY:
        return [Point(source.at.x, target.at.y)]
    return [Point(target.at.x, source.at.y)]


def _ahead(shape: Shape, other: Shape) -> Point:
    """Where a straight line out of `shape` goes, which may be the middle of neither."""
    if shape.size >= other.size:
        return other.at
    if abs(shape.at.x - other.at.x) < other.size[0] / 2:
        return Point(shape.at.x, other.at.y)
    return Point(other.at.x, shape.at.y)


def _bounds(drawn: Element, x: float, y: float, width: float, height: float) -> None:
    numbers = {"x": x, "y": y, "width": width, "height": height}
    SubElement(drawn, tag("Bounds", DC), {name: f"{n:g}" for name, n in numbers.items()})


def _place(element: Element) -> int:
    name = element.tag.rpartition("}")[2]
    return _ORDER.index(name) if name in _ORDER else len(_ORDER)
