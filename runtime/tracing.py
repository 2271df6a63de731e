"""Traces: from the HTTP call through the workflow to the activity, by OpenTelemetry.

Spans are exported only when the environment names a collector (`OTEL_EXPORTER_OTLP_ENDPOINT`). The
id of the call travels along in any case, so that log lines of API, workflow and activity meet.

The SDK's own interceptor hangs an update below the trace that started the workflow months ago; here
it goes on the trace of the call that sent it. Nothing of this issues a command, so histories replay
with it and without it.
"""

import os
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from threading import Thread
from typing import Any

import structlog
from opentelemetry import context as otel
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from temporalio import activity, client, worker, workflow
from temporalio.api.common.v1 import Payload
from temporalio.converter import PayloadConverter

from domain.tasks import WRITE_DOWN
from runtime.version import version

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
HEADER = "_aftersales-trace"
CALL = "request_id"
LAST_WORDS = 1.5
"""Seconds that a process which ends waits for its last spans to be taken."""

Headers = Mapping[str, Payload]
Carrier = dict[str, str]

_W3C = TraceContextTextMapPropagator()
_CONVERTER = PayloadConverter.default
_provider: TracerProvider | None = None


def configure(service: str) -> None:
    """Export this process's spans, if the environment says where to.

    Args:
        service: the process's name, where `OTEL_SERVICE_NAME` gives none.
    """
    off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if not off and any(map(os.environ.get, ENDPOINTS)):
        name = os.environ.get("OTEL_SERVICE_NAME") or f"aftersales-{service}"
        export(BatchSpanProcessor(OTLPSpanExporter()), name)


def export(processor: SpanProcessor, service: str) -> None:
    """Hand every span from now on to this processor."""
    global _provider
    about = Resource.create({"service.name": service, "service.version": version()})
    _provider = TracerProvider(resource=about, shutdown_on_exit=False)
    _provider.add_span_processor(processor)


def shutdown() -> None:
    """Send what is left, and make no more spans."""
    global _provider
    if _provider is not None:
        # Aside: a collector that does not answer would hold up the end of the process.
        sending = Thread(target=_provider.shutdown, daemon=True)
        sending.start()
        sending.join(LAST_WORDS)
    _provider = None


@contextmanager
def span(
    name: str, kind: SpanKind, carrier: Mapping[str, str] | None = None, **about: str
) -> Iterator[Span | None]:
    """A span around a block, below the one that the carrier names or else the present one.

    None, at no cost, when nothing is exported. An error is told by its type: its words may be
    personal.
    """
    if _provider is None:
        yield None
        return
    parent = _W3C.extract(carrier) if carrier else None
    with _provider.get_tracer("aftersales").start_as_current_span(
        name,
        parent,
        kind=kind,
        attributes={f"aftersales.{key}": value for key, value in about.items()},
        record_exception=False,
        set_status_on_exception=False,
    ) as made:
        try:
            yield made
        except Exception as error:
            made.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise


def traceparent() -> str | None:
    """The present span as W3C writes it; None: there is none."""
    carrier: Carrier = {}
    _W3C.inject(carrier)
    return carrier.get("traceparent")


def name_the_trace(logger: Any, method: str, line: MutableMapping[str, Any]) -> Any:
    """Let a log line carry the trace that it belongs to."""
    context = get_current_span().get_span_context()
    if context.is_valid:
        line.setdefault("trace_id", f"{context.trace_id:032x}")
    return line


class Tracing(client.Interceptor, worker.Interceptor):
    """Carries trace and call id from the caller to the workflow, and on to its activities."""

    def intercept_client(self, next: client.OutboundInterceptor) -> client.OutboundInterceptor:
        """Around every call to Temporal."""
        return _Calls(next)

    def intercept_activity(
        self, next: worker.ActivityInboundInterceptor
    ) -> worker.ActivityInboundInterceptor:
        """Around every activity."""
        return _Activities(next)

    def workflow_interceptor_class(
        self, input: worker.WorkflowInterceptorClassInput
    ) -> type[worker.WorkflowInboundInterceptor]:
        """Around what a workflow hears and what it asks for."""
        return _Workflow


class _Calls(client.OutboundInterceptor):
    async def start_workflow(self, input: client.StartWorkflowInput) -> Any:
        with span(f"StartWorkflow:{input.workflow}", SpanKind.CLIENT, number=input.id):
            input.headers = _carrying(input.headers)
            return await super().start_workflow(input)

    async def signal_workflow(self, input: client.SignalWorkflowInput) -> None:
        with span(f"SignalWorkflow:{input.signal}", SpanKind.CLIENT, number=input.id):
            input.headers = _carrying(input.headers)
            await super().signal_workflow(input)

    async def start_workflow_update(self, input: client.StartWorkflowUpdateInput) -> Any:
        with span(f"StartWorkflowUpdate:{input.update}", SpanKind.CLIENT, number=input.id):
            input.headers = _carrying(input.headers)
            return await super().start_workflow_update(input)

    async def query_workflow(self, input: client.QueryWorkflowInput) -> Any:
        with span(f"QueryWorkflow:{input.query}", SpanKind.CLIENT, number=input.id):
            return await super().query_workflow(input)


class _Activities(worker.ActivityInboundInterceptor):
    async def execute_activity(self, input: worker.ExecuteActivityInput) -> Any:
        info, carrier = activity.info(), _carried(input.headers)
        number = info.workflow_id or ""
        with (
            structlog.contextvars.bound_contextvars(**_call_id(carrier)),
            span(f"RunActivity:{info.activity_type}", SpanKind.SERVER, carrier, number=number),
        ):
            return await super().execute_activity(input)


class _Workflow(worker.WorkflowInboundInterceptor):
    """Remembers for whom the workflow moves, until that is written down."""

    def init(self, outbound: worker.WorkflowOutboundInterceptor) -> None:
        self.cause: Payload | None = None
        super().init(_WorkflowOutbound(outbound, self))

    async def execute_workflow(self, input: worker.ExecuteWorkflowInput) -> Any:
        self.cause = _moved(workflow.info().headers, "RunWorkflow", for_good=True)
        return await super().execute_workflow(input)

    async def handle_signal(self, input: worker.HandleSignalInput) -> None:
        self.cause = _moved(input.headers, f"HandleSignal:{input.signal}")
        await super().handle_signal(input)

    async def handle_update_handler(self, input: worker.HandleUpdateInput) -> Any:
        mine = self.cause = _moved(input.headers, f"HandleUpdate:{input.update}")
        try:
            return await super().handle_update_handler(input)
        finally:
            if self.cause is mine:
                self.cause = None  # What a timer does next is not the caller's doing.


class _WorkflowOutbound(worker.WorkflowOutboundInterceptor):
    def __init__(self, next: worker.WorkflowOutboundInterceptor, inbound: _Workflow) -> None:
        super().__init__(next)
        self._inbound = inbound

    def start_local_activity(
        self, input: worker.StartLocalActivityInput
    ) -> workflow.ActivityHandle[Any]:
        if (cause := self._inbound.cause) is not None:
            input.headers = {**input.headers, HEADER: cause}
            if input.activity == WRITE_DOWN:
                self._inbound.cause = None
        return super().start_local_activity(input)


def _moved(headers: Headers, name: str, *, for_good: bool = False) -> Payload | None:
    """What this move was caused by, with a span of its own unless it is only replayed.

    A handler is a task of its own, so what is bound here ends with it; `for_good`: it does not, and
    nothing is bound.
    """
    if HEADER not in headers:
        return None
    with workflow.unsafe.sandbox_unrestricted():
        carrier = _carried(headers)
        if not for_good:
            structlog.contextvars.bind_contextvars(**_call_id(carrier))
        if workflow.unsafe.is_replaying():
            return headers[HEADER]
        with span(name, SpanKind.SERVER, carrier, number=workflow.info().workflow_id) as made:
            if made is None:
                return headers[HEADER]
            here = otel.get_current()
            caused = _payload(carrier)
        if not for_good:
            otel.attach(here)
        return caused


def _carrying(headers: Headers) -> Headers:
    """These headers, and in them the present span and call."""
    payload = _payload(structlog.contextvars.get_contextvars())
    return {**headers, HEADER: payload} if payload is not None else headers


def _payload(bound: Mapping[str, Any]) -> Payload | None:
    """The present span, and the call's id that is bound; None: there is neither."""
    carrier = _call_id(bound)
    _W3C.inject(carrier)
    return _CONVERTER.to_payload(carrier) if carrier else None


def _carried(headers: Headers) -> Carrier:
    """What came in these headers; whatever else stands there is not for us."""
    if HEADER not in headers:
        return {}
    carrier: Carrier = _CONVERTER.from_payload(headers[HEADER], dict[str, str])
    return carrier


def _call_id(bound: Mapping[str, Any]) -> Carrier:
    return {CALL: str(bound[CALL])} if CALL in bound else {}
