"""What is logged, for the tests of data sets."""

from __future__ import annotations

import pytest
from mmengine.logging import MMLogger


@pytest.fixture
def messages():
    """Collect what is logged."""
    found: list[str] = []
    logger = MMLogger.get_current_instance()

    def collect(record):
        found.append(record.getMessage())
        return True

    logger.addFilter(collect)
    yield found
    logger.removeFilter(collect)
