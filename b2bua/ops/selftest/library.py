"""All scenarios, and which of them this bridge has what they need for."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from b2bua.ops.selftest.scenario import Scenario, read
from b2bua.policy.crossing import METHODS, OPTION_TAGS

FOLDER = Path(__file__).parent / "scenarios"

# What a scenario may need, and whether the bridge does it.
NEEDS: dict[str, Callable[[], bool]] = {
    "100rel": lambda: "100rel" in OPTION_TAGS and "PRACK" in METHODS,
    "replaces": lambda: "replaces" in OPTION_TAGS,
    "refer": lambda: "REFER" in METHODS,
    "subscribe": lambda: "SUBSCRIBE" in METHODS,
    "timers": lambda: find_spec("b2bua.dialog.session_timer") is not None,
    "parallel": lambda: find_spec("b2bua.call.branch") is not None,
    "redirect": lambda: find_spec("b2bua.call.branch") is not None,
}


def scenarios() -> list[Scenario]:
    """Every scenario, by name. ScenarioError where one cannot be read."""
    return [read(path) for path in sorted(FOLDER.glob("*.ladder"))]


def lacking(scenario: Scenario) -> list[str]:
    """What a scenario needs that the bridge does not do."""
    return [need for need in scenario.needs if not NEEDS[need]()]
