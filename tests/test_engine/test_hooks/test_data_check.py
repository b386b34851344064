"""DataCheckHook: what cannot be evaluated is refused before the first epoch."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.hooks import CheckpointHook
from mmpretrain.evaluation import Accuracy
from torch.utils.data import ConcatDataset

from mmwsol.engine import DataCheckHook, ThresholdCalibrationHook
from mmwsol.evaluation.metrics import LocAccuracy, MaxBoxAcc, PxAP


class Items:
    """A data set of given items."""

    metainfo = dict(classes=("a", "b"))

    def __init__(self, *items, pipeline=()):
        self.items = items
        self.pipeline = SimpleNamespace(transforms=list(pipeline))

    def __len__(self):
        return len(self.items)

    def get_data_info(self, index):
        return self.items[index]


def item(img_id, root="x", **values):
    boxes = values.pop("boxes", np.zeros((0, 4)))
    return dict(img_id=img_id, img_path=f"{root}/{img_id}", gt_bboxes_ori=boxes, **values)


def runner(dataset, *metrics, hooks=()):
    loader, evaluator = SimpleNamespace(dataset=dataset), SimpleNamespace(metrics=list(metrics))
    return SimpleNamespace(
        train_dataloader=loader,
        val_loop=True,
        val_dataloader=loader,
        val_evaluator=evaluator,
        test_dataloader=loader,
        test_evaluator=evaluator,
        hooks=list(hooks),
    )


BOXED = Items(item("1"), item("2", boxes=np.array([[0, 0, 5, 5]])))


@pytest.mark.parametrize("when", ["before_train", "before_val", "before_test"])
def test_evaluators_that_cannot_work(when):
    check = getattr(DataCheckHook(), when)
    check(runner(BOXED, LocAccuracy(), Accuracy(topk=(1, 2), prefix="cls")))
    with pytest.raises(ValueError, match="LocAccuracy needs ground-truth boxes, and no image"):
        check(runner(Items(item("1")), LocAccuracy()))
    with pytest.raises(ValueError, match=r"Accuracy has topk=\(1, 5\), but there are 2 classes"):
        check(runner(BOXED, Accuracy(topk=(1, 5))))
    with pytest.raises(ValueError, match="PxAP needs masks, and no image"):
        check(runner(BOXED, PxAP()))
    check(runner(Items(item("1", mask_paths=["m.png"])), PxAP()))  # which reads the files itself


@pytest.mark.parametrize("when", ["before_train", "before_val", "before_test"])
def test_the_rule_of_the_model_without_its_hook(when):
    check, metric = getattr(DataCheckHook(), when), MaxBoxAcc(map_to_box="model")
    with pytest.raises(ValueError, match="MaxBoxAcc: map_to_box='model' needs mmwsol.ThresholdCalibrationHook among"):
        check(runner(BOXED, metric))
    check(runner(BOXED, metric, hooks=[ThresholdCalibrationHook()]))  # which hands in the rule later


def test_save_best_that_no_metric_gives():
    check = DataCheckHook().before_train
    check(runner(BOXED, LocAccuracy(), hooks=[CheckpointHook(save_best="loc/gt_known", rule="greater")]))
    with pytest.raises(ValueError, match="save_best='cls/top1': no metric of val_evaluator gives it, they give"):
        check(runner(BOXED, LocAccuracy(), hooks=[CheckpointHook(save_best="cls/top1", rule="greater")]))


def test_ids_of_a_concatenated_set():
    one, two = Items(item("1", "a")), Items(item("1", "b"))
    whole = ConcatDataset([one, two])
    for when in ("before_train", "before_val", "before_test"):
        with pytest.raises(ValueError, match="image id '1' is in part 0 and part 1 .*a/1' and 'b/1"):
            getattr(DataCheckHook(), when)(runner(whole))
    twice = SimpleNamespace(dataset=ConcatDataset([one, one]))  # in training, one file may be listed twice
    DataCheckHook().before_train(SimpleNamespace(train_dataloader=twice))
