"""What runs below the worker: its signs of life, and the Temporal SDK's metrics for Prometheus."""

from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig

from runtime import temporal
from runtime.settings import Settings
from runtime.version import version


def worker_runtime(settings: Settings) -> Runtime:
    """A runtime that shows its metrics on the port the settings name, if they name one.

    Raises:
        RuntimeError: the port cannot be had.
    """
    port = settings.worker_metrics_port
    prometheus = None
    if port is not None:
        prometheus = PrometheusConfig(
            bind_address=f"{settings.host}:{port}",
            counters_total_suffix=True,
            unit_suffix=True,
            durations_as_seconds=True,
        )
    telemetry = TelemetryConfig(metrics=prometheus)
    runtime = Runtime(telemetry=telemetry, worker_heartbeat_interval=temporal.HEARTBEAT)
    if prometheus:
        meter = runtime.metric_meter
        build = meter.create_gauge("aftersales_worker_build_info", "What version runs.")
        build.set(1, {"version": version()})
    return runtime
