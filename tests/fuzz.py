"""How hard the property tests try: a fixed sample by default, $NETREACH_FUZZ times as many and fresh ones where it is set."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings

FACTOR = int(os.environ.get("NETREACH_FUZZ", "0"))


def examples(count: int) -> Callable[[Any], Any]:
    """Settings for a property that is worth `count` examples in an ordinary run."""
    return settings(
        max_examples=count * max(FACTOR, 1),
        deadline=None,
        derandomize=not FACTOR,
        database=None,
        print_blob=False,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )
