"""Who may do what: the bearer token's scopes, whose request it is, and who may report for whom."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Annotated

import structlog
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.exc import SQLAlchemyError

from api.answers import request_id
from api.language import Text
from api.middleware import what_happened
from api.problems import RETRY_SOON, Problem
from api.reading import recorded
from api.services import Served, Services, now
from domain import entitlement
from domain.events import Accepted, Actor, BaseEvent, Declined
from domain.numbering import is_request_number
from domain.refusals import explain
from domain.request import ServiceRequest
from domain.vocabulary import Role
from records import access_log, queries
from runtime.tokens import IdentityUnavailable, Principal, RoleUnclear, Scope, TokenInvalid

log = structlog.get_logger("api")

bearer = HTTPBearer(
    auto_error=False,
    description="A token of the configured issuer, or from `aftersales token --role R --id I`.",
)
_CHALLENGE = 'Bearer realm="aftersales"'


async def principal(
    services: Served,
    call: Request,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
) -> Principal:
    """Who calls.

    Raises:
        Problem: 401, `token_missing`, `token_invalid` or `token_expired`; 403, `role_unclear`; 429,
            `rate_limited`; 503, `identity_unavailable`.
    """
    if credentials is None:
        services.rates.count_failure(call.scope)
        raise Problem("token_missing", headers={"WWW-Authenticate": _CHALLENGE})
    try:
        caller = await services.identity.bearer(credentials.credentials)
    except TokenInvalid as error:
        services.rates.count_failure(call.scope)
        challenge = f'{_CHALLENGE}, error="invalid_token", error_description="{error}"'
        code = "token_expired" if error.expired else "token_invalid"
        raise Problem(code, headers={"WWW-Authenticate": challenge}) from None
    except RoleUnclear as error:
        services.rates.count_failure(call.scope)
        facts = {"claim": error.claim, "roles": ", ".join(error.roles) or "—"}
        raise Problem("role_unclear", facts=facts) from None
    except IdentityUnavailable:
        raise Problem("identity_unavailable", headers=RETRY_SOON) from None
    services.rates.count(call.scope, caller)
    return caller


def entitled_to(scope: Scope, caller: Principal, *or_else: Scope) -> Principal:
    """The caller, if their role has the scope, or one of the others that will do.

    Raises:
        Problem: 403, `scope_missing`.
    """
    if caller.scopes.isdisjoint((scope, *or_else)):
        challenge = f'{_CHALLENGE}, error="insufficient_scope", scope="{scope}"'
        raise Problem(
            "scope_missing",
            facts={"role": _role(caller.role), "scope": scope.value},
            headers={"WWW-Authenticate": challenge},
        )
    return caller


def needs(scope: Scope, *or_else: Scope) -> Callable[[Principal], Awaitable[Principal]]:
    """A dependency that lets in only callers whose role has the scope, or one of the others."""

    async def entitled(caller: Annotated[Principal, Depends(principal)]) -> Principal:
        return entitled_to(scope, caller, *or_else)

    return entitled


async def written_down(services: Services, caller: Principal, call: Request) -> None:
    """Write into the access log what an auditor asks for.

    Raises:
        Problem: 503, `records_unavailable`: what is not written down is not shown.
    """
    number = call.path_params.get("number") or call.query_params.get("number") or ""
    try:
        await services.records(
            access_log.write_down,
            call.scope["route"].operation_id or call.scope["route"].name,
            access_log.Reader(caller.role, caller.id, None, request_id(call.scope)),
            now(),
            number=number if is_request_number(number) else None,
            about=call.url.query or None,
        )
    except SQLAlchemyError as error:
        log.error("read_not_written_down", **what_happened(error))
        raise Problem("records_unavailable", headers=RETRY_SOON) from None


async def _auditor(
    services: Served, call: Request, caller: Annotated[Principal, Depends(needs(Scope.audit))]
) -> Principal:
    await written_down(services, caller, call)
    return caller


Creator = Annotated[Principal, Depends(needs(Scope.create))]
Reader = Annotated[Principal, Depends(needs(Scope.read))]
Reporter = Annotated[Principal, Depends(needs(Scope.report))]
Entitled = Annotated[Principal, Depends(needs(Scope.personal))]
SubscriptionReader = Annotated[Principal, Depends(needs(Scope.subscribe, Scope.audit))]
Auditor = Annotated[Principal, Depends(_auditor)]
"""Who audits. What they ask for is written down first, whatever becomes of it."""
Watcher = Annotated[Principal, Depends(needs(Scope.board))]
Steerer = Annotated[Principal, Depends(needs(Scope.steer))]
Subscriber = Annotated[Principal, Depends(needs(Scope.subscribe))]
Worker = Annotated[Principal, Depends(needs(Scope.work))]


async def admit(
    services: Services, caller: Principal, number: str, events: Sequence[BaseEvent] = ()
) -> None:
    """Let in whoever the request `number` is open to: to read it, or to report these events.

    An engineer's own refusal may come again, though the work is not theirs by now.

    Raises:
        Problem: 403, `not_yours`; `request_not_found`.
    """
    if caller.role not in entitlement.BOUNDED:
        return
    request = await recorded(services, number)
    if events and all(entitlement.is_declined_again(request, event) for event in events):
        return
    asks = caller.role is Role.customer and caller.request is None
    taken_by = await services.records(queries.taken_by, number) if asks else None
    entitled(caller, request, reports=bool(events), taken_by=taken_by)


def entitled(
    caller: Principal,
    request: ServiceRequest,
    *,
    reports: bool = False,
    taken_by: str | None = None,
) -> None:
    """Whether the caller may read this request or, if `reports`, say what happened to it.

    Args:
        taken_by: who had it taken in, where the caller is a customer without a tracking link.

    Raises:
        Problem: 403, `not_yours`.
    """
    may = entitlement.may_report if reports else entitlement.may_see
    if not may(request, caller.role, caller.id, link=caller.request, taken_by=taken_by):
        raise not_yours(_NOT_THEIRS[caller.role])


async def _reader_of_it(services: Served, caller: Reader, number: str) -> Principal:
    await admit(services, caller, number)
    return caller


RequestReader = Annotated[Principal, Depends(_reader_of_it)]
"""Who may read the request `number` of the path."""

_NOT_THEIRS: dict[Role, Text] = {
    Role.engineer: (
        "The work is not yours, and no offer of it to you is open.",
        "该工单不在您名下，也没有待您确认的派单。",
    ),
    Role.customer: (
        "A customer sees only the requests that are their own.",
        "客户只能查看和办理自己的服务请求。",
    ),
}
_NOT_THEIR_OFFER: Text = (
    "An offer is answered by the engineer it was made to.",
    "派单只能由被指派的工程师本人确认或拒绝。",
)


def not_yours(reason: Text) -> Problem:
    """The refusal of what belongs to somebody else."""
    return Problem("not_yours", facts={"reason": reason})


def as_reported_by(caller: Principal, event: BaseEvent, now: datetime) -> BaseEvent:
    """The event with its actor and its moment filled in.

    An integration relays for people and may name any actor; everybody else acts as themselves,
    whatever id they name.

    Raises:
        Problem: 403, `actor_mismatch`, `role_not_allowed` or `not_yours`.
    """
    actor = event.actor or Actor(role=caller.role, id=caller.id)
    if caller.role not in (Role.integration, actor.role):
        raise Problem(
            "actor_mismatch", facts={"role": _role(caller.role), "actor": _role(actor.role)}
        )
    if caller.role is not Role.integration:
        actor = Actor(role=caller.role, id=caller.id)
    if actor.role not in event.by:
        facts = {
            "role": actor.role.value,
            "event": event.name,
            "roles": ", ".join(sorted(event.by)),
        }
        reason = (explain("role_not_allowed", facts), explain("role_not_allowed", facts, "zh-CN"))
        raise Problem(
            "role_not_allowed",
            facts={"reason": reason},
            reason_code="role_not_allowed",
            allowed_roles=sorted(event.by),
        )
    if caller.role is Role.engineer and _answers_for_another(event, caller.id):
        raise not_yours(_NOT_THEIR_OFFER)
    return event.model_copy(update={"actor": actor, "heard_at": now})


def _answers_for_another(event: BaseEvent, engineer: str) -> bool:
    return isinstance(event, Accepted | Declined) and event.engineer != engineer


def _role(role: Role) -> Text:
    return role.value, role.zh
