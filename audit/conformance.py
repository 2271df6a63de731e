"""Whether what happened to a request fits the process as it is drawn, and where it left it."""

from collections.abc import Iterable
from typing import NamedTuple

from audit.facts import Fact, Told
from audit.model import Model, Step, Walk, standard
from domain.effects import Entry
from domain.vocabulary import Stage


class Fit(NamedTuple):
    """A request followed on the model.

    Attributes:
        facts: those that the model speaks about, in order; `walk` has a stage for each.
    """

    facts: tuple[Fact, ...]
    walk: Walk


def fit(told: Told, model: Model | None = None) -> Fit:
    """Follow a request on the model."""
    spoken = tuple(fact for fact in told.facts if label(fact.line))
    lines = ((fact.line, fact.stage) for fact in told.facts)
    return Fit(spoken, (model or standard()).follow(steps(lines)))


def steps(lines: Iterable[tuple[Entry, Stage | None]]) -> list[Step]:
    """What of a timeline the model speaks about, and the stage after it where that is known."""
    found: list[Step] = []
    for line, stage in lines:
        if name := label(line):
            found.append(Step(name))
        if stage is not None and found:
            found[-1] = found[-1]._replace(stage=stage)
    return found


def label(line: Entry) -> str | None:
    """What the model calls a line of the timeline; None: it says nothing about such lines."""
    match line.kind, line.name:
        case "event", name:
            return name
        case "system", "resumed":
            return "hold_ends"
        case ("system", "received" | "visit_reminder" | "closed") | ("offer", "offered"):
            return line.name
        case "clock", name if name.endswith(".breached"):
            return name
    return None
