"""Tracking links: made for a customer by those who talk to them, opened by whoever has one."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from api import openapi
from api.access import Reader
from api.answers import reader_language
from api.language import Text, say
from api.problems import Problem
from api.reading import recorded
from api.services import Served, Services, now
from domain.customer_view import Coming, TrackedRequest, as_customer_sees
from domain.vocabulary import Role
from runtime.tokens import TokenInvalid, verify
from runtime.tracking import TrackingLink, tracking_link

MAY_SHARE = frozenset(
    {Role.agent, Role.dispatcher, Role.supervisor, Role.manager, Role.integration}
)
"""Who hands out links: those who talk to the customer."""

NEXT: dict[Coming, Text] = {
    Coming.call: ("Our service desk will call you.", "客服将与您联系。"),
    Coming.engineer: ("We are finding an engineer for you.", "正在为您安排工程师。"),
    Coming.appointment: ("We will agree a visit time with you.", "将与您约定上门时间。"),
    Coming.visit: ("The engineer will come in the agreed window.", "工程师将按约定时段上门。"),
    Coming.remote_session: ("The engineer will help you from afar.", "工程师将为您远程处理。"),
    Coming.arrival: ("The engineer is on the way to you.", "工程师正在赶往您处。"),
    Coming.work: ("The engineer is at work.", "工程师正在处理。"),
    Coming.depot: ("Your product is being repaired at our depot.", "产品正在维修中心维修。"),
    Coming.parts: ("We are waiting for parts.", "正在等待配件。"),
    Coming.resumption: (
        "The request is on hold.",
        "服务请求已暂停。",
    ),
    Coming.your_answer_to_the_quote: ("Please accept or decline the quote.", "请确认或拒绝报价。"),
    Coming.your_signature: ("Please sign for the completed work.", "请签字确认已完成的服务。"),
    Coming.your_payment: ("Please pay what is owed.", "请支付应付费用。"),
    Coming.survey: ("We will ask how satisfied you are.", "将回访您的满意度。"),
    Coming.remedy: ("We are working on your complaint.", "正在处理您的投诉。"),
    Coming.nothing: ("The request is closed.", "服务请求已结束。"),
}

router = APIRouter(tags=["tracking"])


class Tracked(TrackedRequest):
    """The request as its customer sees it; `next_text` says `next` in their language."""

    next_text: str


LINK = openapi.operation(
    "createTrackingLink",
    "Make a link by which the customer follows the request",
    {201: ("The link, its token and how long both work", TrackingLink)},
    (*openapi.AUTH, "role_not_allowed", "request_not_found", *openapi.ANY),
)
TRACK = openapi.operation(
    "trackRequest",
    "Follow a request by a tracking link",
    {200: ("The request as its customer sees it", Tracked)},
    ("tracking_unknown", "tracking_expired", "rate_limited", *openapi.ANY),
)


@router.post("/v1/requests/{number}/tracking-link", **LINK)
async def create_tracking_link(services: Served, caller: Reader, number: str) -> Response:
    """Make a link by which the customer follows the request, and answers, without an account.

    Its token is a bearer token as well: that of the customer, for this request alone.
    """
    if caller.role not in MAY_SHARE:
        reason = (
            f"The role {caller.role} hands out no tracking links.",
            f"角色{caller.role.zh}不能生成查询链接。",
        )
        raise Problem("role_not_allowed", facts={"reason": reason})
    await recorded(services, number)
    link = tracking_link(services.settings, services.key, number, now())
    return JSONResponse(link.model_dump(mode="json"), status_code=201)


@router.get("/track/{token}", **TRACK)
async def track_request(services: Served, call: Request, token: str) -> Response:
    """Show the request that the link is for, as its customer sees it."""
    request = await recorded(services, _number(services, call, token))
    language = reader_language(call)
    shown = as_customer_sees(request)
    shown["next_text"] = say(NEXT[Coming(shown["next"])], language)
    return JSONResponse(
        shown,
        headers={
            "Cache-Control": "private, no-store",
            "Referrer-Policy": "no-referrer",
            "Content-Language": language,
            "Vary": "Accept-Language",
        },
    )


def _number(services: Services, call: Request, token: str) -> str:
    """The request that a link's token opens; whoever tries tokens out is slowed down."""
    try:
        customer = verify(services.key, token)
    except TokenInvalid as error:
        services.rates.count_failure(call.scope)
        raise Problem("tracking_expired" if error.expired else "tracking_unknown") from None
    if customer.request is None:
        # A person's own token has no business in an address.
        raise Problem("tracking_unknown")
    services.rates.count(call.scope, customer)
    return customer.request
