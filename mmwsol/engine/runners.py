"""Building mmengine's Runner."""

from __future__ import annotations

import logging

from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mmwsol.engine.old_checkpoints import remove_links


def build_runner(cfg: Config) -> Runner:
    """Build the Runner of a config, of ``cfg.runner_type`` if that is set.

    What mmengine logs of every parameter that has options of its own, hundreds of lines, is in the log file alone.

    Raises:
        ValueError: If the config has no model.
    """
    if cfg.get("model") is None and "runner_type" not in cfg:
        raise ValueError(f"config '{cfg.filename}' has no model.")
    remove_links(cfg)
    runner = RUNNERS.build(cfg) if "runner_type" in cfg else Runner.from_cfg(cfg)
    for handler in runner.logger.handlers:
        if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
            handler.addFilter(_is_for_the_console)
    return runner


def _is_for_the_console(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("paramwise_options -- ")
