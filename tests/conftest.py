"""Fixtures of all tests."""

from __future__ import annotations

import copy
import functools
import gc
import importlib.util
import os
import sys
from pathlib import Path

# Tests are small: threads only get into each other's way. Read by libraries at their import.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

ROOT = Path(__file__).resolve().parents[1]

import pytest  # noqa: E402
from mmengine.config import Config  # noqa: E402


def _read_once(fromfile):
    """Read every config of this package once and copy it then: a tenth of a second, a thousand times in the tests."""
    folder, found = str(ROOT / "configs") + os.sep, {}

    def read(filename, *args, **kwargs):
        key = str(filename)
        if args or kwargs or not key.startswith(folder):
            return fromfile(filename, *args, **kwargs)
        if key not in found:
            found[key] = fromfile(filename)
        return copy.deepcopy(found[key])

    return staticmethod(read)


Config.fromfile = _read_once(Config.fromfile)


def pytest_collection_finish():
    """Take three costs out of the tests that are none of a user's, who starts one run and not hundreds."""
    # Every data set of mmengine and every stage collects garbage, among a million objects of modules: half a second.
    gc.collect()
    gc.freeze()
    if "mmengine.runner.runner" in sys.modules:
        from mmengine.config import config
        from mmengine.runner import runner

        runner.collect_env = functools.cache(runner.collect_env)  # asks compilers for their versions
        config.FormatCode = _remember(config.FormatCode)  # a second for a config, which a Runner prints three times


def _remember(function):
    """Keep the last results of a function of a text and options."""
    found = {}

    def call(text, **options):
        key = (text, repr(options))
        if key not in found:
            if len(found) > 8:
                found.clear()
            found[key] = function(text, **options)
        return found[key]

    return call


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


@pytest.fixture
def tool(monkeypatch, tmp_path):
    """Run ``main()`` of a tool in this process, from an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "environ", os.environ.copy())

    def run(script, *arguments):
        path = ROOT / "tools" / script
        spec = importlib.util.spec_from_file_location(f"tool_{path.stem}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
        return module.main()

    return run
