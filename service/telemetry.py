"""Traces (OpenTelemetry), if they are configured; otherwise nothing is done and nothing is loaded.

A request is a span, and so is a job with a span for each of its stages. They are sent by OTLP over HTTP to the setting
`trace_endpoint`, or where the standard variable OTEL_EXPORTER_OTLP_ENDPOINT says.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

_provider: TracerProvider | None = None


def configure(endpoint: str | None = None, version: str = "", exporter: SpanExporter | None = None) -> bool:
    """Begin to trace if it is configured; whether it is.

    Args:
        endpoint: base address of an OTLP collector, such as `http://localhost:4318`; that of the environment if None.
        version: of the service, told with every span.
        exporter: what takes the spans, instead of an address.
    """
    global _provider
    if endpoint is None and exporter is None and not os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        return False
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    if exporter is None:
        address = None if endpoint is None else endpoint.rstrip("/") + "/v1/traces"
        exporter = OTLPSpanExporter(endpoint=address, timeout=5)
    _provider = TracerProvider(resource=Resource.create({"service.name": "zkevm", "service.version": version}))
    _provider.add_span_processor(BatchSpanProcessor(exporter))
    return True


def stop() -> None:
    """Send what has not been sent, for at most some seconds, and trace no more."""
    global _provider
    if _provider is not None:
        provider, _provider = _provider, None
        provider.force_flush(5000)
        provider.shutdown()


@contextmanager
def span(name: str, attributes: Mapping[str, Any] | None = None, parent: str | None = None) -> Iterator[Any]:
    """A span around what is done within; gives the span, or None if nothing is traced.

    Args:
        parent: W3C's `traceparent` of where this belongs, as a request's header or another process gives it.
    """
    if _provider is None:
        yield None
        return
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    context = TraceContextTextMapPropagator().extract({"traceparent": parent}) if parent else None
    tracer = _provider.get_tracer("zkevm.service")
    with tracer.start_as_current_span(name, context=context, attributes=dict(attributes or {})) as current:
        yield current


def current_trace() -> str | None:
    """The id of the trace that is under way, for logs."""
    if _provider is None:
        return None
    from opentelemetry.trace import get_current_span

    context = get_current_span().get_span_context()
    return format(context.trace_id, "032x") if context.is_valid else None


def traceparent() -> str | None:
    """W3C's `traceparent` of the span that is under way, to be given to another process."""
    if _provider is None:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent")
