"""One suite against every pairing: blocking with blocking, blocking with asyncio, asyncio with asyncio.

The scenarios are in `scenarios.py`, the pairings in `pairings.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

pytest.register_assert_rewrite("pairings", "scenarios")

from pairings import PAIRINGS  # noqa: E402  # its assertions are to say what they found
from scenarios import SCENARIOS, Stage  # noqa: E402


@pytest.mark.parametrize("pairing", PAIRINGS, ids="-".join)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_scenario(scenario: Callable[[Stage], None], pairing: tuple[str, str], tmp_path: Path) -> None:
    scenario(Stage(*pairing, tmp_path))
