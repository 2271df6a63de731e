"""Worker deployments: which build a worker is, so that a request can stay on the build it knows."""

from temporalio.api.workflowservice.v1 import DescribeWorkerDeploymentRequest
from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import WorkerDeploymentConfig

from runtime.settings import Settings
from runtime.version import version

PINNED = VersioningBehavior.PINNED
"""Stays on the build that began it until it continues as new: the requests."""

FOLLOWS = VersioningBehavior.AUTO_UPGRADE
"""Goes on under whichever build is current; changes of its commands are gated with `patched`."""


def build_id(settings: Settings) -> str:
    """The name of this build: the one given, or our version."""
    return settings.build_id or version()


def deployment(settings: Settings, behaviour: VersioningBehavior) -> WorkerDeploymentConfig | None:
    """How a worker takes part in its deployment; None: there is none, any worker takes any task."""
    if settings.deployment is None:
        return None
    return WorkerDeploymentConfig(
        version=WorkerDeploymentVersion(settings.deployment, build_id(settings)),
        use_worker_versioning=True,
        default_versioning_behavior=behaviour,
    )


async def current_build(client: Client, name: str) -> str | None:
    """The build that new requests go to; None: none was made current, and they wait.

    Raises:
        temporalio.service.RPCError: the server did not answer.
    """
    asked = DescribeWorkerDeploymentRequest(namespace=client.namespace, deployment_name=name)
    try:
        described = await client.workflow_service.describe_worker_deployment(asked)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return None
    routing = described.worker_deployment_info.routing_config
    return routing.current_deployment_version.build_id or None


def make_current(settings: Settings) -> str:
    """The command that makes this build the current one."""
    return (
        "temporal worker deployment set-current-version"
        f" --deployment-name {settings.deployment} --build-id {build_id(settings)}"
    )
