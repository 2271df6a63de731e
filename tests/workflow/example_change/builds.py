"""One change to the workflow as three builds have it; docs/deploying-changes.md tells its story.

The change: Temporal's own page of a request shows its work order, in the memo. It adds a command,
so a history from before it does not replay on a build that simply has it.
"""

from temporalio import workflow

from workflows.messages import WORKFLOW, Closing, Start
from workflows.service_request import ServiceRequestWorkflow

CHANGE = "work-order-in-memo"

Before = ServiceRequestWorkflow


class _ShowsWorkOrder(ServiceRequestWorkflow):
    """The change itself."""

    _in_memo: str | None = None

    def _show(self) -> None:
        super()._show()
        number = self._request.numbers.get("WO/1")
        if number and number != self._in_memo and self._may_show_work_order():
            workflow.upsert_memo({"WorkOrder": number})
            self._in_memo = number

    def _may_show_work_order(self) -> bool:
        return True


@workflow.defn(name=WORKFLOW)
class Ungated(_ShowsWorkOrder):
    """For every request at once: safe only where requests are pinned to the builds before it."""

    @workflow.init
    def __init__(self, start: Start) -> None:
        super().__init__(start)

    @workflow.run
    async def run(self, start: Start) -> Closing:
        return await super().run(start)


@workflow.defn(name=WORKFLOW)
class Patched(_ShowsWorkOrder):
    """For whatever has not come that far; what went past it without goes on without."""

    @workflow.init
    def __init__(self, start: Start) -> None:
        super().__init__(start)

    @workflow.run
    async def run(self, start: Start) -> Closing:
        return await super().run(start)

    def _may_show_work_order(self) -> bool:
        return workflow.patched(CHANGE)
