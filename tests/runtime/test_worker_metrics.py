"""The worker shows the SDK's metrics on a port of its own, when it is given one."""

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from temporalio.testing import WorkflowEnvironment

from runtime.settings import Settings
from runtime.temporal import connect
from runtime.worker_metrics import worker_runtime
from tests.installation import free_ports


@pytest.mark.server
async def test_the_sdks_metrics_and_the_version(live: WorkflowEnvironment) -> None:
    (port,) = map(int, free_ports(1))
    settings = Settings(
        _env_file=None,
        worker_metrics_port=port,
        temporal_address=live.client.service_client.config.target_host,
    )
    client = await connect(settings, runtime=worker_runtime(settings))
    await client.service_client.check_health()
    async with httpx.AsyncClient(trust_env=False) as http:
        shown = (await http.get(f"http://127.0.0.1:{port}/metrics")).text
    families = {family.name for family in text_string_to_metric_families(shown)}
    assert "aftersales_worker_build_info" in families
    assert "temporal_request_latency_seconds" in families
