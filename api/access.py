"""Who may do what: the bearer token's scopes, and for whom an event may be reported."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.language import Text
from api.problems import Problem
from api.services import Served
from domain.events import Actor, BaseEvent
from domain.refusals import explain
from domain.vocabulary import Role
from runtime.tokens import Principal, Scope, TokenInvalid, verify

_bearer = HTTPBearer(
    auto_error=False, description="A token from `aftersales token --role R --id I`."
)
_CHALLENGE = 'Bearer realm="aftersales"'


async def principal(
    services: Served,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Principal:
    """Who calls.

    Raises:
        Problem: 401, `token_missing`, `token_invalid` or `token_expired`.
    """
    if credentials is None:
        raise Problem("token_missing", headers={"WWW-Authenticate": _CHALLENGE})
    try:
        return verify(services.key, credentials.credentials)
    except TokenInvalid as error:
        challenge = f'{_CHALLENGE}, error="invalid_token", error_description="{error}"'
        code = "token_expired" if error.expired else "token_invalid"
        raise Problem(code, headers={"WWW-Authenticate": challenge}) from None


def needs(scope: Scope) -> Callable[[Principal], Awaitable[Principal]]:
    """A dependency: who calls, if they may do this; else the problem `scope_missing`."""

    async def entitled(caller: Annotated[Principal, Depends(principal)]) -> Principal:
        if scope not in caller.scopes:
            raise Problem(
                "scope_missing",
                facts={"role": _role(caller.role), "scope": scope.value},
                headers={
                    "WWW-Authenticate": f'{_CHALLENGE}, error="insufficient_scope", scope="{scope}"'
                },
            )
        return caller

    return entitled


Creator = Annotated[Principal, Depends(needs(Scope.create))]
Reader = Annotated[Principal, Depends(needs(Scope.read))]
Reporter = Annotated[Principal, Depends(needs(Scope.report))]


def as_reported_by(caller: Principal, event: BaseEvent, now: datetime) -> BaseEvent:
    """The event with its actor and its moment filled in.

    An integration relays for people and may name any actor; everybody else acts as themselves,
    whatever id they name.

    Raises:
        Problem: 403, `actor_mismatch` or `role_not_allowed`.
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
    return event.model_copy(update={"actor": actor, "heard_at": now})


def _role(role: Role) -> Text:
    return role.value, role.zh
