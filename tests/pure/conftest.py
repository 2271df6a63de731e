"""Marks and profiles of the pure tests. `HYPOTHESIS_PROFILE=hunt` looks longer, at other cases."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("quick", deadline=None, database=None, derandomize=True)
settings.register_profile("hunt", deadline=None, database=None, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("pure")
