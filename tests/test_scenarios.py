"""One suite against every pairing: blocking with blocking, blocking with asyncio, asyncio with asyncio.

The scenarios are in `scenarios.py`, the pairings in `pairings.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pairings import PAIRINGS
from scenarios import SCENARIOS, Stage


@pytest.mark.parametrize("pairing", PAIRINGS, ids="-".join)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_scenario(scenario: Callable[[Stage], None], pairing: tuple[str, str], tmp_path: Path) -> None:
    scenario(Stage(*pairing, tmp_path))
