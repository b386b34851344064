"""Hook that compares the classes of the data with those of the model."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmwsol.datasets.class_names import (
    check_same_names,
    checkpoint_names,
    config_names,
    dataset_names,
    is_permutation,
)
from mmwsol.datasets.wrappers import inner_dataset
from mmwsol.engine.hooks.model_parts import find_localizer, is_class_agnostic
from mmwsol.registry import HOOKS


@HOOKS.register_module()
class NumClassesHook(Hook):
    """Stop a run in which a label does not mean the same class everywhere.

    Before training, validation and test it compares

    - the number of classes of the data with ``model.head.num_classes``,
    - the class names of train, val and test (of a test set that is not built yet: those of its config or class),
    - these with the names that a loaded checkpoint was trained with, its ``dataset_meta``.

    What does not know its names is not compared, models without such a head neither. A run that starts from weights
    (``load_from``) may have other classes, but not the same in another order. A head that knows names, too, compares
    them before training, in its ``check_classes``, and what else it needs of the data in its ``check_dataset``. One
    class alone gets a warning: its loss is 0 and its top-1 100 % whatever the model does.

    Args:
        more_outputs: Whether the head may have more outputs than the data has classes. Defaults to False.

    Raises:
        ValueError: If numbers or names differ, or the head refuses the data. The message names both sides, the first
            class that differs, and the line to change.
    """

    def __init__(self, more_outputs: bool = False) -> None:
        self.more_outputs = more_outputs
        self._loaded: tuple[str, ...] | None = None
        self._trained: tuple[str, ...] | None = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep the names that the checkpoint was trained with."""
        self._loaded = checkpoint_names(checkpoint)

    def before_train(self, runner: Runner) -> None:
        """Check the data of training and, before an epoch is spent, of validation and test."""
        dataset = runner.train_dataloader.dataset
        names = self.check_data(runner, dataset, "train_dataloader")
        model = find_localizer(runner.model)
        if model is not None and names is not None:
            model.head.check_classes(names)
        if model is not None:
            model.head.check_dataset(inner_dataset(dataset))
        self._trained = names
        if getattr(runner, "val_loop", None) is not None:
            self.check_data(runner, runner.val_dataloader.dataset, "val_dataloader")
        config = getattr(runner, "cfg", {}).get("test_dataloader")
        if config is not None:
            check_same_names(config_names(config.get("dataset")), names, "test_dataloader", "train_dataloader")

    def before_val(self, runner: Runner) -> None:
        """Check the validation data."""
        self.check_data(runner, runner.val_dataloader.dataset, "val_dataloader")

    def before_test(self, runner: Runner) -> None:
        """Check the test data."""
        self.check_data(runner, runner.test_dataloader.dataset, "test_dataloader")

    def check_data(self, runner: Runner, dataset: Any, loader: str) -> tuple[str, ...] | None:
        """Compare a data set with the head, the training data and the checkpoint; return its class names."""
        names = dataset_names(dataset)
        if names is None or is_class_agnostic(runner.model):
            return None
        model: Any = find_localizer(runner.model)
        outputs = len(names) if model is None else model.head.num_classes
        if len(names) > outputs or (len(names) < outputs and not self.more_outputs):
            raise ValueError(
                f"{type(dataset).__name__} ({loader}) has {len(names)} classes, but {type(model.head).__name__} has "
                f"num_classes={outputs}. Set model.head.num_classes={len(names)} in the config or use "
                "another data set."
            )
        if model is not None and len(names) == 1 and loader == "train_dataloader":
            runner.logger.warning(
                f"{loader} has one class alone, '{names[0]}': the classification loss is 0 and top-1 100 % whatever "
                "the model does, and its maps are not trained. Add images of other classes, or of none."
            )
        check_same_names(names, self._trained, loader, "train_dataloader")
        if self._trained is None and self._loaded is not None:
            starts = loader == "train_dataloader" and not getattr(runner, "_resume", False)
            # weights to start from may be of other classes: their head is trained anew
            if not starts or is_permutation(names, self._loaded):
                check_same_names(names, self._loaded, loader, "the checkpoint")
        return names
