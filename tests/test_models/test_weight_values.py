"""Weights that are no numbers, or of another kind than the model's, are refused wherever they are loaded."""

import numpy as np
import pytest
import torch
from releases import localizer
from torch import nn

from mmwsol.datasets.class_names import as_names, checkpoint_names
from mmwsol.models.weight_values import check_values, load_tensors
from mmwsol.models.weights import unwrap


class Rule(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("threshold", torch.tensor(0.5, dtype=torch.float64))


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.norm, self.map_to_box = nn.Linear(2, 2), nn.BatchNorm2d(2), Rule()
        self.register_buffer("mask", torch.tensor([0.0, -torch.inf]))


def load(**changed):
    model = Model()
    return load_tensors(model, {**model.state_dict(), **changed}, "a.pth", "model", "get another")


WRONG = {
    "nan": (torch.tensor([1.0, torch.nan]), "'a.pth' holds NaN or infinity in layer.bias: the training diverged"),
    "infinity": (torch.tensor([torch.inf, 0.0]), "'a.pth' holds NaN or infinity in layer.bias"),
    "beyond float32": (torch.tensor([1e300, 0.0], dtype=torch.float64), "NaN or infinity in layer.bias"),
    "integers": (torch.tensor([1, 2]), "holds torch.int64 for layer.bias, where the model has torch.float32"),
    "complex": (torch.tensor([1j, 2]), "holds torch.complex64 for layer.bias, where the model has torch.float32"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_values_that_are_no_weights_are_refused(kind):
    value, message = WRONG[kind]
    with pytest.raises(ValueError, match=message):
        load(**{"layer.bias": value})


def test_legal_values_load():
    """Other precisions, counters, masks of -inf, and a threshold that is not calibrated."""
    bias = torch.tensor([1.0, 2.0])
    threshold = {"map_to_box.threshold": torch.tensor(torch.nan, dtype=torch.float64)}
    for value in (bias.half(), bias.bfloat16(), bias.double()):
        assert load(**{"layer.bias": value, "norm.num_batches_tracked": torch.tensor(3), **threshold}) == ([], [])
    check_values(Model(), {"other": bias / 0, "layer.bias": torch.full((5,), torch.nan)}, "a.pth")  # not its tensors


def test_localizers_refuse_them_on_every_way():
    """mmengine's Runner calls ``load_state_dict`` to resume, to test and to start from."""
    model = localizer()
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(weights)
    name = next(name for name in weights if name.startswith("backbone.") and weights[name].is_floating_point())
    weights[name].view(-1)[0] = torch.nan
    with pytest.raises(ValueError, match=f"holds NaN or infinity in {name}"):
        model.load_state_dict(weights)


@pytest.mark.parametrize("name", [1, b"w", None])
def test_names_of_weights_are_text(name):
    for weights in ({name: torch.zeros(1)}, {"state_dict": {name: torch.zeros(1)}}):
        with pytest.raises(ValueError, match="one of its names is .*, no text"):
            unwrap(weights)


@pytest.mark.parametrize("classes", [5, np.array(3), "cub", b"cub", 1.5, [["a"]], [None], [np.zeros(2)]])
def test_class_names_are_a_list_of_texts(classes):
    with pytest.raises(ValueError, match="classes is a sequence of names"):
        as_names(classes)
    with pytest.raises(ValueError, match="classes is a sequence of names"):
        checkpoint_names(dict(meta=dict(dataset_meta=dict(classes=classes))))
    with pytest.raises(ValueError, match="^checkpoint 'x.pth': classes is a sequence of names"):
        checkpoint_names(dict(meta=dict(dataset_meta=dict(classes=classes))), "x.pth")


def test_class_names_of_every_kind_of_list():
    lists = (["a", "b"], ("a", "b"), np.array(["a", "b"]), {"a": 0, "b": 1})
    assert {as_names(names) for names in lists} == {("a", "b")}
    assert as_names(range(2)) == as_names(np.arange(2)) == ("0", "1")
    assert as_names(None) is None and as_names([]) is None and as_names(np.zeros(0)) is None
