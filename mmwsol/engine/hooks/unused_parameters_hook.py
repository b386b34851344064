"""Hook that finds parameters without gradient."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmwsol.models.wrappers import unwrapped
from mmwsol.registry import HOOKS


@HOOKS.register_module()
class UnusedParametersHook(Hook):
    """Stop a run whose first iteration leaves parameters without gradient, and name them.

    Such parameters are not trained although they look it, and ``DistributedDataParallel`` stops at them
    in the second iteration, naming numbers only. Does nothing where the config has
    ``find_unused_parameters=True``, which allows them.

    Raises:
        ValueError: If there are such parameters.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, Any] | None = None
        self._handles: list[Any] = []

    def before_train(self, runner: Runner) -> None:
        """Wait for the gradient of every parameter that is trained."""
        if runner.cfg.get("find_unused_parameters"):
            return
        model = unwrapped(runner.model)
        self._waiting = {name: value for name, value in model.named_parameters() if value.requires_grad}
        for name, value in list(self._waiting.items()):
            self._handles.append(value.register_post_accumulate_grad_hook(self._seen(name)))

    def _seen(self, name: str) -> Any:
        def seen(_: Any) -> None:
            if self._waiting is not None:
                self._waiting.pop(name, None)

        return seen

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Check once, after the first iteration."""
        if self._waiting is None:
            return
        unused, self._waiting = list(self._waiting), None
        for handle in self._handles:
            handle.remove()
        self._handles = []
        if unused:
            shown = ", ".join(unused[:8]) + (" ..." if len(unused) > 8 else "")
            raise ValueError(
                f"{len(unused)} parameters got no gradient in the first iteration, they are not part of the loss: "
                f"{shown}. Freeze them (model.frozen=[...]), or allow it with find_unused_parameters=True."
            )
