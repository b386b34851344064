"""Fixtures of all tests."""

from __future__ import annotations

import os
import sys

# Tests are small: threads only get into each other's way. Read by libraries at their import.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import pytest  # noqa: E402


@pytest.fixture(autouse=True)
def _reset_mmengine_globals():
    """Forget loggers, message hubs, visualizers and scopes of a test, as mmengine's own suite does.

    They live as long as the process, and the newest one is 'current': without this, tests see each
    other's scope and log into each other's folders.
    """
    yield
    if "mmengine.logging" not in sys.modules:
        return
    import logging

    from mmengine.logging import MessageHub, MMLogger
    from mmengine.registry import DefaultScope

    managers = [MMLogger, MessageHub, DefaultScope]
    if "mmengine.visualization" in sys.modules:
        from mmengine.visualization import Visualizer

        managers += [Visualizer, *Visualizer.__subclasses__()]
    for logger in list(MMLogger._instance_dict.values()):
        for handler in list(logger.handlers):
            if isinstance(handler, logging.FileHandler):
                handler.close()
                logger.removeHandler(handler)
    for manager in managers:
        manager._instance_dict.clear()
    if "torch.distributed" in sys.modules:
        from torch import distributed

        if distributed.is_available() and distributed.is_initialized():
            distributed.destroy_process_group()
