"""A namespace of a test's own, on a server that other tests use as well."""

from datetime import timedelta
from uuid import uuid4

from google.protobuf.duration_pb2 import Duration
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from runtime.temporal import plugin, prepare
from tests.databases import RING

RETENTION = timedelta(days=1)


async def own_namespace(env: WorkflowEnvironment) -> WorkflowEnvironment:
    """The development server with nothing in it, in hundredths of a second."""
    name = f"test-{uuid4().hex[:12]}"
    retention = Duration()
    retention.FromTimedelta(RETENTION)
    await env.client.workflow_service.register_namespace(
        RegisterNamespaceRequest(namespace=name, workflow_execution_retention_period=retention)
    )
    address = env.client.service_client.config.target_host
    client = await Client.connect(address, namespace=name, plugins=[plugin(RING)])
    await prepare(client)
    return WorkflowEnvironment.from_client(client)
