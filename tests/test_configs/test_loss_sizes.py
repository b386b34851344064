"""Sizes of all terms at the first step, of every config with losses of maps: a table, with bounds.

A term that starts far from the size for which its weight was made trains another model than the config says, or nothing
at all, and no error tells. The networks are narrow but have the blocks, heads and tokens of the real ones, on which
attention depends; classes are at most 20; CLIP is a stand-in. ``pytest tests/test_configs/test_loss_sizes.py -s``
prints the table.
"""

import logging
import math
import re
from functools import cache

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import set_random_seed

from mmwsol.engine.stages import stage_configs
from mmwsol.structures import LocDataSample
from mmwsol.utils.config import config_root, list_cells, list_configs, load_config

CONFIGS = config_root()
HEADS = ("mmwsol.CATRHead", "mmwsol.CDTRHead")
DEIT = {"deit-tiny": 3, "deit-small": 6, "deit-base": 12}  # heads
BATCH, CLASSES = 2, 20
GPU_BATCH = {"cub": 128, "ilsvrc": 64}  # of the official code, whose first loss of OCM is a sum over it
CATR_ILSVRC_BATCH = 128
HYBRID_BATCH = 32  # its configs take the mean over the images, by experiment: configs/benchmarks/README.md

# Values: cross-entropies in ln(C), SBA without its weight.
VALUES = dict(
    cls=(0.7, 1.5),
    csm=(0.7, 1.5),
    ski=(0.7, 1.6),
    ocm_s=(0.04, 2.5),
    ocm_a=(0.1, 0.35),
    sba=(0.5, 0.9),
    area=(0.05, 0.4),
    norm=(0.15, 0.26),
)
# Norms of the gradient of the backbone: at most this many times more or less than in the config of the same data set
# and mask (SBA), or in CDTR's (all others), which equals the official code (tests/test_parity).
FACTOR = 6
# LCTR's map is a mean over queries: near uniform attention it moves a tenth as much as attention itself.
LCTR_FACTOR = 30
MASK = (0.002, 0.1)  # mean |map| that SBA takes as it is; CDTR's is 0.018


def shrink(cfg: Config) -> Config:
    """Make the network narrow, with its blocks, heads, tokens and losses."""
    model = cfg.model
    backbone, head = model.backbone, model.head
    model.init_cfg = None
    arch = backbone.get("arch")
    if isinstance(arch, str) and arch in DEIT:
        width = 8 * DEIT[arch]
        backbone.arch = dict(embed_dims=width, num_layers=12, num_heads=DEIT[arch], feedforward_channels=2 * width)
        head.in_channels = width
    if backbone.type == "mmwsol.SATConformer":
        backbone.update(arch=dict(embed_dims=24, depths=12, num_heads=2, channel_ratio=1), base_channels=8)
        head.update(in_channels=24, conv_channels=32)
    backbone.drop_path_rate = 0.0
    head.num_classes = min(head.num_classes, CLASSES)
    if "c_base" in head:
        head.c_base = min(head.c_base, 8)
    sba = head.get("map_losses", {}).get("loss_sba")
    if sba:
        generator = torch.Generator().manual_seed(0)
        sba.text_embeddings = torch.randn(head.num_classes, 64, generator=generator)
        sba.clip = dict(type="mmwsol.StandInCLIP", embed_dim=64)
    model.map_to_box.setdefault("threshold", 0.5)
    return cfg


def gpu_batch(name: str) -> int:
    """Images on a GPU in the official code."""
    if "ilsvrc" in name:
        return CATR_ILSVRC_BATCH if name.startswith("catr") else GPU_BATCH["ilsvrc"]
    return GPU_BATCH["cub"]


def candidates() -> list[str]:
    """Name the configs and cells in folders with losses of maps: loading all of the others takes half a minute."""
    files = [path for path in CONFIGS.rglob("*.py") if re.search(r"map_losses|CATRHead|CDTRHead", path.read_text())]
    folders = {path.relative_to(CONFIGS).parts[0] for path in files}
    paths = {**list_configs(), **{name: cell.file for name, cell in list_cells().items()}}
    return [name for name, path in paths.items() if path.relative_to(CONFIGS).parts[0] in folders]


@cache
def stages() -> dict[str, Config]:
    """Collect the stages with losses of maps, shrunk; one of those with the same model then."""
    found, seen = {}, set()
    for name in sorted(candidates()):
        for stage in stage_configs(load_config(name)):
            head = stage.cfg.model.head
            if not (head.get("map_losses") or head.type in HEADS):
                continue
            cfg = shrink(stage.cfg)
            model = repr(
                [cfg.model.backbone, head, gpu_batch(name)]
            )  # of embeddings: both ends, the same by their seed
            if model not in seen:
                found[f"{name}-{stage.name}" if stage.name else name] = cfg
            seen.add(model)
    return found


@cache
def sizes(name: str) -> dict[str, tuple[float, float]]:
    """Compute value and gradient norm of every term as it is trained, and the mean mask of SBA."""
    cfg = stages()[name]
    init_default_scope("mmwsol")
    set_random_seed(0)
    model = MODELS.build(cfg.model).train()
    logging.disable(logging.INFO)  # a page a config on how its weights are drawn
    model.backbone.init_weights()
    logging.disable(logging.NOTSET)
    size = model.input_size or (224, 224)
    images = torch.randn(BATCH, 3, *size, generator=torch.Generator().manual_seed(1))
    samples = [LocDataSample().set_gt_label(label) for label in range(BATCH)]
    feats = model.extract_feat(images)
    losses = model.head.loss(feats, samples, images)
    weights = [parameter for parameter in model.backbone.parameters() if parameter.requires_grad]
    terms = {}
    for key, loss in losses.items():
        if not key.startswith("loss_"):
            continue
        grads = torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)
        norm = math.sqrt(sum(float(grad.square().sum()) for grad in grads if grad is not None))
        term = key.removeprefix("loss_")
        value = float(losses.get(term, loss).detach())
        if term == "ocm_s" and model.head.loss_ocm_s.reduce == "batch_sum":
            value, norm = (number * gpu_batch(name) / BATCH for number in (value, norm))
        terms[term] = (value, norm)
    if "loss_sba" in model.head.map_losses and model.head.map_losses["loss_sba"].map_norm == "none":
        encoded = model.head.encode(feats)
        maps = model.head.label_map(encoded, torch.arange(BATCH)) * model.head.map_scale
        terms["mask"] = (float(maps.detach().abs().mean()), 0.0)
    return terms


def reference(name: str, term: str) -> str:
    """Name the config whose gradient is compared."""
    ilsvrc = term == "sba" and "ilsvrc" in name
    return "cdtr_deit-s_ilsvrc" if ilsvrc else "cdtr_deit-s_cub"


def params() -> list:
    """Of the cells of a sweep over one number, the first and the last are in the suite; see ``all_configs``."""
    found, marked = list(stages()), []
    for name in found:
        axis = re.match(r".*_[kp]-(?=\d+$)", name)
        row = sorted(other for other in found if axis and re.fullmatch(re.escape(axis[0]) + r"\d+", other))
        marked.append(pytest.param(name, marks=[pytest.mark.all_configs] if name in row[1:-1] else []))
    return marked


@pytest.mark.parametrize("name", params())
def test_sizes_at_the_first_step(name):
    head = stages()[name].model.head
    log_classes = math.log(head.num_classes)
    row = []
    for term, (value, norm) in sizes(name).items():
        row.append(f"{term} {value:.3g} ({norm:.1e})" if norm else f"{term} {value:.3g}")
        if term == "mask":
            assert MASK[0] < value < MASK[1], f"SBA's mask averages {value}"
            continue
        if term == "ocm_s" and "hybrid-vit" in name:
            value, norm = (HYBRID_BATCH * number for number in (value, norm))
        unit = dict(cls=log_classes, csm=log_classes, ski=log_classes)
        if term == "sba":
            unit["sba"] = head.map_losses.loss_sba.loss_weight
        low, high = VALUES[term]
        assert low <= value / unit.get(term, 1.0) <= high, f"{term} starts at {value}"
        assert norm > 0, f"{term} trains nothing of the backbone"
        if term in ("csm", "ocm_s", "ocm_a", "ski", "sba") and "small-vit" not in name:
            other = sizes(reference(name, term))[term][1]
            factor = LCTR_FACTOR if head.type == "mmwsol.LCTRHead" else FACTOR
            assert 1 / factor < norm / other < FACTOR, f"the gradient of {term} is {norm / other:.2g} times CDTR's"
    print(f"\n{name:38s}", "  ".join(row))
