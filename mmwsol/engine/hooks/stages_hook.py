"""Hook that refuses a config of several stages where only one would run."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmwsol.registry import HOOKS


@HOOKS.register_module()
class StagesHook(Hook):
    """Stop a plain Runner, or another package's tools, before they run a config with ``stages`` as if it had none.

    They would train the base of the stages, which no method means, without a word.

    Raises:
        ValueError: Before training, validation or test, if the Runner's config has ``stages``. The message says what to
            use.
    """

    priority = "VERY_HIGH"

    def before_run(self, runner: Runner) -> None:
        """Look whether the config has stages; those of :func:`mmwsol.engine.stage_configs` have none any more."""
        names = [str(stage.get("name")) for stage in runner.cfg.get("stages") or ()]
        if names:
            raise ValueError(
                f"this config has the stages {', '.join(names)}, and a plain Runner would run none of them: train with "
                "tools/train.py, 'mmwsol train' or mmwsol.engine.run_stages(cfg), test with tools/test.py, or take "
                "one stage, mmwsol.engine.stage_configs(cfg)[-1].cfg."
            )
