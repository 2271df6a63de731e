"""Every recorded history fits the process as it is drawn."""

from pathlib import Path

import pytest

from audit.conformance import fit
from audit.facts import tell
from domain.vocabulary import Stage
from tests.audit.test_tampering import golden
from tests.databases import RING

RECORDED = sorted((Path(__file__).parents[1] / "workflow" / "histories").glob("v*/*.json"))


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: f"{path.parent.name}-{path.stem}")
async def test_a_recorded_history_fits_the_model(path: Path) -> None:
    told = await tell(RING, golden(path))
    found = fit(told)
    assert found.walk.left is None, repr(found.walk.left)
    assert found.walk.stages[-1] is Stage.closed
    assert len(found.facts) == len(found.walk.stages)
    assert any(fact.stage is not None for fact in told.facts)
