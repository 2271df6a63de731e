"""The worker's own metrics: those of the Temporal SDK, for Prometheus."""

from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig

from runtime.settings import Settings
from runtime.version import version


def with_metrics(settings: Settings) -> Runtime | None:
    """A runtime that shows its metrics on the port the settings name; None: they name none.

    Raises:
        RuntimeError: the port cannot be had.
    """
    if settings.worker_metrics_port is None:
        return None
    address = f"{settings.host}:{settings.worker_metrics_port}"
    prometheus = PrometheusConfig(
        bind_address=address,
        counters_total_suffix=True,
        unit_suffix=True,
        durations_as_seconds=True,
    )
    runtime = Runtime(telemetry=TelemetryConfig(metrics=prometheus))
    build = runtime.metric_meter.create_gauge("aftersales_worker_build_info", "What version runs.")
    build.set(1, {"version": version()})
    return runtime
