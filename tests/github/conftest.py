"""The local GitHub for every test here, and a client without pauses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bot.github.client import Patience
from tests.github.local import GitHub, running

QUICK = Patience(3, 0.0, 0.05, 0.3, 0.0, 0.0, 5)


@pytest.fixture
def github() -> Iterator[GitHub]:
    with running() as memory:
        yield memory
