"""The audit's tests open requests as the workflow's do."""

from tests.workflow.conftest import desk

__all__ = ["desk"]
