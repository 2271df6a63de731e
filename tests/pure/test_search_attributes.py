"""The search attributes: one registry, and the production bootstrap agrees with it."""

import re
from pathlib import Path

from workflows.search_attributes import REGISTRY

BOOTSTRAP = Path(__file__).parents[2] / "deploy" / "temporal-bootstrap.sh"
KINDS = {"KEYWORD": "Keyword", "DATETIME": "Datetime", "KEYWORD_LIST": "KeywordList"}


def test_production_registers_what_the_workflow_shows() -> None:
    created = re.findall(r"--name (\w+) --type (\w+)", BOOTSTRAP.read_text(encoding="utf-8"))
    ours = [(key.name, KINDS[key.indexed_value_type.name]) for key in REGISTRY]
    assert created == ours
