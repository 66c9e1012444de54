"""All scenarios."""

from __future__ import annotations

from pathlib import Path

from b2bua.ops.selftest.scenario import Scenario, read

FOLDER = Path(__file__).parent / "scenarios"


def scenarios() -> list[Scenario]:
    """Every scenario, by name. ScenarioError where one cannot be read."""
    return [read(path) for path in sorted(FOLDER.glob("*.ladder"))]
