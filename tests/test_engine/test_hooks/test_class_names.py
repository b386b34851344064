"""Class names: train, val, test and the checkpoint must mean the same by a label."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import ConcatDataset
from mmengine.registry import init_default_scope
from torch import nn

from mmwsol.apis import init_model
from mmwsol.datasets import BaseLocDataset
from mmwsol.datasets.class_names import check_same_names, checkpoint_names, config_names, dataset_names
from mmwsol.engine import NumClassesHook
from mmwsol.registry import MODELS

ABC, PERMUTED, OTHER = ("ant", "bee", "cat"), ("ant", "cat", "bee"), ("ant", "bee", "cow")


def model_config(num_classes=3):
    arch = dict(embed_dims=8, num_layers=1, num_heads=2, feedforward_channels=8)
    return dict(
        type="mmwsol.ImageLocalizer",
        backbone=dict(type="mmwsol.TapViT", arch=arch, img_size=16, patch_size=8),
        head=dict(type="mmwsol.ConvCAMHead", num_classes=num_classes, in_channels=8),
    )


def runner(train=None, val=None, test=None, config=None, model=None, **kwargs):
    """A stand-in with data sets of these names, and a test set that is known by its config."""
    init_default_scope("mmpretrain")
    loaders = {
        f"{split}_dataloader": SimpleNamespace(dataset=SimpleNamespace(metainfo=dict(classes=names) if names else {}))
        for split, names in dict(train=train, val=val, test=test).items()
    }
    cfg = Config(dict(test_dataloader=dict(dataset=dict(metainfo=dict(classes=config))))) if config else Config({})
    model = model or MODELS.build(model_config(len(train or val or test)))
    return SimpleNamespace(model=model, cfg=cfg, val_loop=val, logger=logging.getLogger("names"), **loaders, **kwargs)


def trained_on(*names):
    return dict(meta=dict(dataset_meta=dict(classes=list(names))))


def test_training_compares_all_parts():
    NumClassesHook().before_train(runner(ABC, list(ABC), config=list(ABC)))
    NumClassesHook().before_train(runner(ABC, ("Ant", "bee_", "cat")))  # the same names in another spelling
    NumClassesHook().before_train(runner(ABC, ("0", "1", "2")))  # a list without names
    with pytest.raises(ValueError, match="class 1 is 'cat' in val_dataloader, but 'bee' in train.*another order"):
        NumClassesHook().before_train(runner(ABC, PERMUTED))
    with pytest.raises(ValueError, match="class 2 is 'cow' in test_dataloader, but 'cat' in train.*other classes"):
        NumClassesHook().before_train(runner(ABC, ABC, config=OTHER))


@pytest.mark.parametrize("split", ["val", "test"])
def test_evaluation_compares_with_the_checkpoint(split):
    for stored in (trained_on(*ABC), {}, dict(meta={}), dict(meta=dict(dataset_meta=None))):
        hook = NumClassesHook()
        hook.after_load_checkpoint(None, stored)
        getattr(hook, f"before_{split}")(runner(**{split: ABC}))
    hook.after_load_checkpoint(None, trained_on(*PERMUTED))
    with pytest.raises(ValueError, match=f"class 1 is 'bee' in {split}_dataloader, but 'cat' in the checkpoint"):
        getattr(hook, f"before_{split}")(runner(**{split: ABC}))
    # any other model that has names
    with pytest.raises(ValueError, match="class 1 is 'bee'"):
        getattr(hook, f"before_{split}")(runner(**{split: ABC}, model=nn.Linear(1, 1)))


def test_weights_to_start_from_may_be_of_other_classes():
    hook = NumClassesHook()
    hook.after_load_checkpoint(None, trained_on(*OTHER))
    hook.before_train(runner(ABC, ABC))
    hook.before_val(runner(ABC, ABC))  # after training, the training's names count
    hook = NumClassesHook()
    hook.after_load_checkpoint(None, trained_on(*OTHER))
    with pytest.raises(ValueError, match="class 2 is 'cat' in train_dataloader, but 'cow' in the checkpoint"):
        hook.before_train(runner(ABC, ABC, _resume=True))
    hook.after_load_checkpoint(None, trained_on(*PERMUTED))
    with pytest.raises(ValueError, match="class 1 .* in another order"):
        hook.before_train(runner(ABC, ABC))


def test_parts_of_a_concatenated_set():
    datasets = [
        BaseLocDataset(metainfo=dict(classes=names), lazy_init=True, data_root=str(i))
        for i, names in enumerate((ABC, PERMUTED))
    ]
    whole = ConcatDataset(datasets, lazy_init=True, ignore_keys=["classes"])
    with pytest.raises(ValueError, match="class 1 is 'cat' in part 1 of the ConcatDataset, but 'bee' in part 0"):
        dataset_names(whole)


def test_more_outputs_is_an_option():
    one = runner(ABC, model=MODELS.build(model_config(3)) if init_default_scope("mmpretrain") else None)
    one.model = MODELS.build(model_config(5))
    with pytest.raises(ValueError, match="has 3 classes, but ConvCAMHead has num_classes=5"):
        NumClassesHook().before_train(one)
    NumClassesHook(more_outputs=True).before_train(one)
    one.model = MODELS.build(model_config(2))
    with pytest.raises(ValueError, match="has 3 classes"):
        NumClassesHook(more_outputs=True).before_train(one)


def test_one_class_warns(caplog):
    with caplog.at_level(logging.WARNING, "names"):
        NumClassesHook().before_train(runner(("thing",)))
    assert "one class alone, 'thing'" in caplog.text and "top-1 100 %" in caplog.text


def test_init_model_compares_config_and_checkpoint(tmp_path):
    init_default_scope("mmpretrain")
    weights = MODELS.build(model_config()).state_dict()
    for number, (names, error) in enumerate([(ABC, None), (PERMUTED, "class 1 is 'bee' in test_dataloader of")]):
        path = tmp_path / f"{number}.pth"
        torch.save(dict(state_dict=weights, **trained_on(*names)), path)
        dataset = dict(metainfo=dict(classes=list(ABC)))
        cfg = Config(dict(model=model_config(), test_dataloader=dict(dataset=dataset)))
        if error is None:
            assert init_model(cfg, path, "cpu").dataset_meta == dict(classes=ABC)
        else:
            with pytest.raises(ValueError, match=error):
                init_model(cfg, path, "cpu")
        other = Config(dict(model=model_config(), test_dataloader=dict(dataset=dict(metainfo=dict(classes=OTHER)))))
        if names == ABC:  # a warning: predictions have the checkpoint's names, which is right
            assert init_model(other, path, "cpu").dataset_meta == dict(classes=ABC)
        without = Config(dict(model=model_config()))
        assert init_model(without, path, "cpu").dataset_meta == dict(classes=names)


def test_where_names_come_from():
    assert config_names(dict(type="mmwsol.Shapes"))[0] == "disc-stripes"
    assert config_names(dict(type="RepeatDataset", dataset=dict(type="X", metainfo=dict(classes=ABC)))) == ABC
    assert config_names(None) is None and config_names(dict(metainfo=dict(classes="names.txt"))) is None
    assert checkpoint_names(dict(meta=dict(dataset_meta=dict(CLASSES=ABC)))) == ABC
    assert checkpoint_names(dict(meta=[])) is None and checkpoint_names(None) is None
    with pytest.raises(ValueError, match="here has 3 classes, there 2"):
        check_same_names(ABC, ("ant", "bee"), "here", "there")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (["ER+", "ER-"], ["ER-", "ER+"]),
        (["<50", ">50"], [">50", "<50"]),
        (["C", "C#", "C++"], ["C", "C++", "C#"]),
        (["Polish", "polish"], ["polish", "Polish"]),
        (["-1", "1"], ["1", "-1"]),
        (["0.5", "0 5"], ["0 5", "0.5"]),
        (["0", "1"], ["1", "0"]),
        ([str(i) for i in range(12)], sorted(map(str, range(12)))),  # of a list, and of torchvision's ImageFolder
        (["0", "1"], ["5", "7"]),
        (["ER+", "x"], ["ER-", "x"]),
    ],
)
def test_names_that_are_not_the_same(first, second):
    check_same_names(first, list(first), "here", "there")
    with pytest.raises(ValueError, match=r"class \d+ is '.*' in here, but '.*' in there"):
        check_same_names(first, second, "here", "there")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (["Black_footed_Albatross", "St. Bernard"], ["black-footed albatross", "St Bernard"]),
        (["001.Laysan_Albatross", "x"], ["001 Laysan Albatross", "X"]),
        (["cat", "dog"], ["0", "1"]),
        (["001", "002"], ["0", "1"]),
        (["Cafe\u0301", "x"], ["Caf\u00e9", "x"]),
        (["0", "1"], ["0", "1"]),
    ],
)
def test_names_that_are_the_same(first, second):
    check_same_names(first, second, "here", "there")
    check_same_names(second, first, "there", "here")
