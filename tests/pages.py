"""Temporal's own pages in a reader's browser, as far as they have histories opened."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx
from google.protobuf.json_format import MessageToDict, ParseDict
from temporalio.api.common.v1 import Payload, Payloads


class Refused(Exception):
    """The browser keeps the answer from the page, or there is none; its status."""


@dataclass(frozen=True)
class TemporalsPages:
    """They are at `origin`, and told to have histories opened at `codec`."""

    origin: str
    codec: str

    def ask(self, step: str, payloads: Sequence[Payload]) -> list[Payload]:
        """What `decode` or `encode` makes of the payloads, asked for as a browser asks.

        Raises:
            Refused: pages of this origin may not ask, or not with this address.
        """
        wished = {
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type,x-namespace",
        }
        may = self._call("OPTIONS", step, wished)
        assert "POST" in may.headers["access-control-allow-methods"]
        allowed = may.headers["access-control-allow-headers"].replace(" ", "").split(",")
        assert {"content-type", "x-namespace"} <= set(allowed)
        said = MessageToDict(Payloads(payloads=payloads))
        answer = self._call("POST", step, {"X-Namespace": "aftersales"}, json=said)
        return list(ParseDict(answer.json(), Payloads()).payloads)

    def _call(self, method: str, step: str, headers: dict[str, str], **more: Any) -> httpx.Response:
        answer = httpx.request(
            method,
            f"{self.codec}/{step}",
            headers={"Origin": self.origin, **headers},
            trust_env=False,
            **more,
        )
        if answer.headers.get("access-control-allow-origin") != self.origin or answer.is_error:
            raise Refused(answer.status_code)
        return answer
