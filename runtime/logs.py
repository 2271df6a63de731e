"""Logs: one line each, JSON unless a terminal reads them, and no personal data in any of them.

Everything goes through the standard library's root logger, ours (structlog) and others' (uvicorn,
temporalio, alembic) alike. Bind what a stretch of work is about with `about(number=…)`.
"""

import logging
import re
import sys
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger
from temporalio import activity, workflow

from domain.masking import HIDDEN, mask_text
from runtime.settings import Settings
from runtime.tracing import name_the_trace

about = structlog.contextvars.bound_contextvars
"""A context manager: every line inside carries these keys, such as the request's number."""

PERSONAL = frozenset(
    [
        "address",
        "body",
        "customer",
        "description",
        "email",
        "latitude",
        "longitude",
        "name",
        "note",
        "notes",
        "phone",
        "proof",
        "remark",
        "signature",
        "text",
    ]
)
_LINK = re.compile(r"(?<=/track/|/codec/)[^\s\"'?/]+")
"""Whoever has such a link has the token in it, so no log shows one."""

_QUERY = re.compile(r"(?<=\S\?)[^\s\"']+")
"""What an address was asked with may be somebody's name, spelt in percent signs, or a secret."""

_TALKATIVE = (
    "alembic",
    "httpcore",
    "httpx",
    "uvicorn",
    "uvicorn.access",
    "uvicorn.error",
    "watchfiles",
)


def configure(settings: Settings) -> None:
    """Send every log line of this process to standard error, in the form the settings ask for."""
    as_json = settings.log_format == "json" or (
        settings.log_format == "auto" and not sys.stderr.isatty()
    )
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.StackInfoRenderer(),
        _name_the_request,
        name_the_trace,
    ]
    written: list[Processor] = (
        [
            structlog.processors.format_exc_info,
            hide_personal,
            structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
        ]
        if as_json
        else [structlog.processors.format_exc_info, hide_personal, structlog.dev.ConsoleRenderer()]
    )
    handler = logging.StreamHandler()
    handler.addFilter(_is_news)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *written],
        )
    )
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    logging.basicConfig(handlers=[handler], level=level, force=True)
    for name in _TALKATIVE:
        talker = logging.getLogger(name)
        talker.handlers.clear()
        talker.propagate = True
        talker.setLevel(max(level, logging.WARNING) if level > logging.DEBUG else level)
    logging.captureWarnings(True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def hide_links(text: str) -> str:
    """The text without the tokens of links that stand in it."""
    return _LINK.sub(HIDDEN, text)


def hide_personal(logger: WrappedLogger, method: str, line: EventDict) -> EventDict:
    """The last line of defence: known personal keys are blanked, numbers and addresses in text too.

    Nobody should log them in the first place.
    """
    return {key: _hidden(key, value) for key, value in line.items()}


def _hidden(key: str, value: Any) -> Any:
    if key.lower() in PERSONAL and value is not None:
        return HIDDEN
    if isinstance(value, dict):
        return {k: _hidden(str(k), v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_hidden("", each) for each in value]
    if isinstance(value, str):
        return _QUERY.sub(HIDDEN, hide_links(mask_text(value)))
    return value


def _is_news(record: logging.LogRecord) -> bool:
    """A replayed workflow says nothing that it has not said before."""
    return not (workflow.in_workflow() and workflow.unsafe.is_replaying())


def _name_the_request(logger: WrappedLogger, method: str, line: EventDict) -> EventDict:
    """Inside a workflow or an activity every line names it; its id is the request's number."""
    if workflow.in_workflow():
        line.setdefault("workflow_id", workflow.info().workflow_id)
    elif activity.in_activity():
        line.setdefault("workflow_id", activity.info().workflow_id)
        line.setdefault("activity", activity.info().activity_type)
    return line
