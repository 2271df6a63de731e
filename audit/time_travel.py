"""The request exactly as it stood at a moment: what was known then, and what was due."""

from datetime import UTC, datetime

from audit.histories import Story
from audit.semantics import CannotReplay, Watcher, replay_whole
from domain.request import ServiceRequest
from records.sealing import KeyRing
from workflows.service_request import ServiceRequestWorkflow


class NotYet(LookupError):
    """At that moment the request had not come in."""


async def as_it_stood(ring: KeyRing, told: Story, moment: datetime) -> ServiceRequest:
    """The request at `moment`, from its history alone.

    What the platform had not noticed by then, it is not shown to have known.

    Raises:
        NotYet: it had not come in.
        CannotReplay: the code would have done something else, or the run of then is not there.
    """
    if told.lacks and moment < told.runs[-1].events[0].event_time.ToDatetime(tzinfo=UTC):
        raise CannotReplay(told.lacks)
    stood: ServiceRequest | None = None

    def remember(run: str, now: datetime, workflow: ServiceRequestWorkflow) -> None:
        nonlocal stood
        if now <= moment:
            stood = workflow.request.model_copy(deep=True)

    for run in told.runs:
        if (place := await replay_whole(ring, run, Watcher(remember))) is not None:
            raise CannotReplay(str(place))
    if stood is None:
        raise NotYet(f"{told.number} had not come in at {moment.isoformat()}")
    return stood
