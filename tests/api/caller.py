"""A small language for tests that call the API: who calls, with what, and what comes back."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx

from domain.events import EVENTS
from domain.vocabulary import Role
from runtime.settings import Settings
from runtime.tokens import mint
from tests.desk import LIKELY, intake

Json = dict[str, Any]
SCORES = ["response", "professionalism", "attitude", "effect", "overall", "recommend"]


def body(**changes: Any) -> Json:
    """A plausible new request."""
    return intake(**changes).model_dump(mode="json", exclude_none=True)


def event(type_: str, role: str | None = None, **payload: Any) -> Json:
    """A plausible event, reported for someone who may."""
    actor = role or next(r for r in LIKELY if r in EVENTS[type_].by)
    return {
        "id": str(uuid4()),
        "type": type_,
        "actor": {"role": str(actor), "id": f"{actor}-1"},
        **payload,
    }


def at(**ahead: float) -> str:
    """A moment that lies so far ahead."""
    return (datetime.now(UTC) + timedelta(**ahead)).isoformat()


class Caller:
    """Someone who calls the API in one role."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        settings: Settings,
        role: Role = Role.integration,
        id: str | None = None,
    ) -> None:
        self.http, self.settings, self.role = http, settings, role
        self.id = id or f"{role}-1"
        self.headers = {"Authorization": f"Bearer {mint(settings, role, self.id)}"}

    def acting_as(self, role: Role, id: str | None = None) -> "Caller":
        return Caller(self.http, self.settings, role, id)

    async def get(
        self, path: str, headers: Mapping[str, str] = {}, **params: Any
    ) -> httpx.Response:
        return await self.http.get(path, params=params, headers={**self.headers, **headers})

    async def post(
        self, path: str, json: Any = None, headers: Mapping[str, str] = {}, **more: Any
    ) -> httpx.Response:
        return await self.http.post(path, json=json, headers={**self.headers, **headers}, **more)

    async def takes_in(self, **changes: Any) -> str:
        """The number of a new request."""
        response = await self.post("/v1/requests", body(**changes))
        assert response.status_code == 201, response.text
        return str(response.json()["number"])

    async def reports(self, number: str, *events: Json, **headers: str) -> httpx.Response:
        """One event, or several as a list."""
        sent = events[0] if len(events) == 1 else list(events)
        return await self.post(f"/v1/requests/{number}/events", sent, headers)

    async def brings(self, number: str, *events: Json) -> Json:
        """The request after these events, all of which must be taken."""
        response = await self.reports(number, *events)
        assert response.status_code == 200, response.text
        answer: Json = response.json()
        if len(events) > 1:
            assert {r["status"] for r in answer["results"]} == {"applied"}, answer["results"]
            answer = answer["request"]
        return answer
