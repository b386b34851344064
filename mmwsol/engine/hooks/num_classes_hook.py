"""Hook that compares the classes of the data with those of the model."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mmwsol.datasets.wrappers import inner_dataset
from mmwsol.models import ImageLocalizer
from mmwsol.registry import HOOKS


@HOOKS.register_module()
class NumClassesHook(Hook):
    """Stop a run whose head has another number of classes than the data set.

    Compares ``len(dataset.metainfo['classes'])`` with ``model.head.num_classes`` before training,
    validation and test. Models without such a head and data sets without class names are left
    alone. A head that knows names too compares them before training, in its ``check_classes``, and
    what else it needs of the data in its ``check_dataset``.

    Raises:
        ValueError: If the numbers differ, or the head refuses the data. The message names both sides
        and the line to change.
    """

    def before_train(self, runner: Runner) -> None:
        """Check the training data."""
        dataset = runner.train_dataloader.dataset
        self._check(runner, dataset, "train_dataloader")
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        classes = (getattr(dataset, "metainfo", None) or {}).get("classes")
        if isinstance(model, ImageLocalizer) and classes is not None:
            model.head.check_classes(classes)
        if isinstance(model, ImageLocalizer):
            model.head.check_dataset(inner_dataset(dataset))

    def before_val(self, runner: Runner) -> None:
        """Check the validation data."""
        self._check(runner, runner.val_dataloader.dataset, "val_dataloader")

    def before_test(self, runner: Runner) -> None:
        """Check the test data."""
        self._check(runner, runner.test_dataloader.dataset, "test_dataloader")

    def _check(self, runner: Runner, dataset: object, loader: str) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        expected = model.head.num_classes if isinstance(model, ImageLocalizer) else None
        classes = (getattr(dataset, "metainfo", None) or {}).get("classes")
        if expected is None or classes is None or len(classes) == expected:
            return
        raise ValueError(
            f"{type(dataset).__name__} ({loader}) has {len(classes)} classes, but {type(model.head).__name__} has "
            f"num_classes={expected}. Set model.head.num_classes={len(classes)} in the config or use another data set."
        )
