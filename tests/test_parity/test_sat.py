"""SAT equals the official implementation on every golden case: networks, losses, gradients, boxes, frames, training."""

import numpy as np
import pytest
import torch
from golden_case import FLOAT32, PERCENT, Case, case_paths, recipe
from loc_case import run, samples_of
from mmengine.optim import build_optim_wrapper

from mmwsol.datasets.transforms import TenCrop
from mmwsol.evaluation.functional import box_iou, gt_to_frame, normalize_map
from mmwsol.evaluation.metrics import LocAccuracy
from mmwsol.methods.sat.backbone import query_gate
from mmwsol.models.box_rules import ComponentBox
from mmwsol.registry import MODELS
from mmwsol.structures import Frame, LocDataSample
from mmwsol.utils import convert_official

PATHS = case_paths("sat")
TERMS = ("cls", "area", "norm")


def build(meta: dict, dtype: torch.dtype, **backbone) -> torch.nn.Module:
    arch = meta["arch"]
    dims = dict(
        embed_dims=arch["embed_dim"],
        num_layers=arch["depth"],
        num_heads=arch["num_heads"],
        feedforward_channels=int(arch["embed_dim"] * arch["mlp_ratio"]),
    )
    backbone = dict(
        type="mmwsol.SATViT",
        arch=dims,
        img_size=arch["img_size"],
        patch_size=arch["patch"],
        drop_path_rate=arch["drop_path"],
        **backbone,
    )
    head = dict(
        type="mmwsol.SATHead",
        num_classes=dict(meta["tensors"])["head.weight"][0],
        in_channels=arch["embed_dim"],
        map_losses=dict(
            loss_area=dict(type="mmwsol.BatchAreaLoss", target=meta["area_target"]),
            loss_norm=dict(type="mmwsol.MapNormalizationLoss"),
        ),
    )
    rule = dict(type="mmwsol.ComponentBox", preset="sat", threshold=meta.get("thresholds", [0.4])[0])
    return MODELS.build(dict(type="mmwsol.ImageLocalizer", backbone=backbone, head=head, map_to_box=rule)).to(dtype)


def load(model: torch.nn.Module, case: Case) -> dict[str, str]:
    """Load official weights; return official name -> ours."""
    weights = {name: torch.from_numpy(value) for name, value in case.state().items()}
    constants = {name: torch.from_numpy(case["kernel"]) for name in case.meta["fixed"] if "kernel" in case}
    model.load_state_dict(convert_official({**weights, **constants}, "sat"), strict=True)
    return {name: next(iter(convert_official({name: value}, "sat"))) for name, value in weights.items()}


def check_network(case: Case, dtype: torch.dtype, tolerance: float) -> None:
    meta = case.meta
    depth = meta["arch"]["depth"]
    model = build(meta, dtype).eval()
    explicit = build(meta, dtype, tap="full", tap_layers=list(range(depth - 4, depth)), out_tokens=range(depth + 1))
    names = load(model, case)
    load(explicit.eval(), case)
    images = torch.from_numpy(case.inputs()).to(dtype)
    with torch.no_grad():
        feats, full = model.backbone(images), explicit.backbone(images)
        maps = model.head.foreground(feats)
        scores = model.head(feats)
        final = explicit.backbone.ln1(full.tokens[-1])
        gates = []
        for layer, tokens in zip(explicit.backbone.layers, full.tokens[:-1], strict=True):
            query, keys, _ = layer.attn.project(layer.ln1(tokens))
            gates.append(query_gate(query[:, :, -1], keys))
    case.close("logits", scores, tolerance)
    case.close("logits", explicit.head(full), tolerance)
    case.close("M", maps, tolerance)
    case.close("M", full.gates.mean(1), tolerance)
    case.close("gates", torch.stack(gates), tolerance)
    torch.testing.assert_close(feats.gates.flatten(2), torch.stack(gates[-3:], 1)[..., 1:-1])
    case.close("attn_cls_row", full.full_attn[:, :, :, 0].transpose(0, 1), tolerance)
    case.close("attn_loc_row", full.full_attn[:, :, :, -1].transpose(0, 1), tolerance)
    case.close("embed_l2", full.tokens[0].flatten(1).norm(dim=1), tolerance)
    case.close("block_l2", torch.stack([tokens.flatten(1).norm(dim=1) for tokens in full.tokens[1:]]), tolerance)
    case.close("final_cls", feats.cls_token, tolerance)
    case.close("final_loc", final[:, -1], tolerance)
    case.close("final_patch_l2", feats.patch_map.flatten(2).norm(dim=1), tolerance)
    if "final_tokens" in case:
        case.close("final_tokens", final, tolerance)
    classes = meta.get("class_map_classes", slice(None))
    case.close("class_map", model.head.conv(feats.patch_map)[:, classes], tolerance)
    check_losses(case, model, images, names, tolerance)
    check_boxes(case, maps.double().numpy(), 0 if dtype == torch.float64 else 1e-5, tolerance)
    check_evaluation(case, model, images, maps, tolerance)


def check_losses(case: Case, model, images, names: dict[str, str], tolerance: float) -> None:
    meta = case.meta
    model.train()
    feats = model.backbone(images)
    maps = model.head.foreground(feats)
    term = model.head.map_losses["loss_norm"]
    smooth = term.smooth(maps)
    case.close("kernel", term.kernel[None, None], tolerance)
    case.close("M_smooth", smooth, tolerance)
    case.close("train_logits", model.head(feats), tolerance)
    case.close("area", maps.mean((1, 2)), tolerance)
    case.close("norm", (smooth * (1 - smooth)).mean((1, 2)), tolerance)
    losses = model.head.loss(feats, [LocDataSample().set_gt_label(label) for label in meta["labels"]])
    losses["loss_total"] = sum(losses.values())
    params = dict(model.named_parameters())
    ordered = [params[names[name]] for name in meta["grad_names"]]
    assert len(ordered) == len(params)
    for name in ("total", *TERMS):
        loss = losses[f"loss_{name}"]
        case.close(f"loss_{name}", loss, tolerance)
        grads = torch.autograd.grad(loss, ordered, retain_graph=True, allow_unused=True)
        norms = torch.stack([torch.zeros_like(loss) if grad is None else grad.norm() for grad in grads])
        case.close_gradients(f"grad_norm_{name}", norms, tolerance)
        if name == "total":
            for whole in case.names("grad/"):
                gradient = grads[meta["grad_names"].index(whole)]
                case.close_gradients(f"grad/{whole}", gradient, tolerance)
    model.eval()


def check_boxes(case: Case, maps: np.ndarray, error: float, tolerance: float) -> None:
    """Boxes of our maps; a box may differ where a shift of the threshold by our error moves it."""
    meta = case.meta
    scale = [normalize_map(m.astype(np.float32), "minmax_eps") for m in maps]
    case.close("M_norm", np.stack(scale), max(tolerance, 1e-6))  # float32, as in the official code
    sure = np.array(meta["box_margin"]) > error
    for i, threshold in enumerate(meta["thresholds"]):
        boxes = ComponentBox(preset="sat", threshold=threshold)(maps, (224, 224))
        np.testing.assert_array_equal(boxes[sure[:, i]], case["boxes"][sure[:, i], i])
    for b, gt in enumerate(meta["gt_boxes"]):
        iou = box_iou(case["boxes"][b], np.array([gt]), plus_one=True)[:, 0]
        np.testing.assert_allclose(iou, case["iou"][b], rtol=0, atol=1e-12)


def check_evaluation(case: Case, model, images, maps, tolerance: float) -> None:
    """Top-1 Loc, GT-known and threshold by localizer and metric, with the scores of one crop or of ten."""
    meta = case.meta
    samples = [LocDataSample(metainfo=dict(frame=Frame.identity((224, 224)), ori_shape=(224, 224))) for _ in images]
    crops = None
    if "image256_u8" in case:
        crops = ten_crops(case).to(images)
        logits = model.head(model.backbone(crops.flatten(0, 1))).unflatten(0, crops.shape[:2])
        case.close("tencrop_logits", logits, tolerance)
        torch.testing.assert_close(crops[:, 4], images, rtol=0, atol=1e-6)
    with torch.no_grad():
        samples = model(images, samples, mode="predict", crops=crops)
    scores = torch.stack([sample.pred_score for sample in samples])
    case.close("eval_scores", scores if crops is not None else model.head(model.backbone(images)), tolerance)
    torch.testing.assert_close(torch.stack([s.pred_maps.maps[0] for s in samples]), maps.float())
    records = samples_of(
        case["eval_scores"],
        maps[:, None].float().numpy(),
        np.full((len(maps), 1), -1),
        meta["labels"],
        [" ".join(map(str, box)) for box in meta["gt_boxes"]],
        224,
    )
    metric = LocAccuracy(
        protocol="sat",
        frame_rule="wsol",  # the boxes are in the frame already
        map_to_box=dict(type="mmwsol.ComponentBox", preset="sat"),
        threshold=dict(grid=meta["thresholds"], select_by="gt_known+top1", select_on="test"),
    )
    values = run(metric, records)
    ours = [values["loc/top1"], values["loc/gt_known"], values["loc/threshold"]]
    np.testing.assert_allclose(ours, case["eval_return"], rtol=0, atol=PERCENT)


def ten_crops(case: Case) -> torch.Tensor:
    """Views (B, 10, 3, 224, 224) of the stored 256x256 pictures, normalised in float64."""
    spec = case.meta["input"]
    views = []
    for picture in case["image256_u8"]:
        results = TenCrop(224, view="center").transform(dict(img=picture, img_shape=(256, 256)))
        views.append(np.stack(results["crops"]))
    normalised = (np.stack(views) / 255.0 - spec["mean"]) / spec["std"]
    return torch.from_numpy(normalised.transpose(0, 1, 4, 2, 3))


def check_map_boxes(case: Case) -> None:
    """Boxes of given maps at every threshold."""
    for i, threshold in enumerate(case.meta["thresholds"]):
        boxes = ComponentBox(preset="sat", threshold=threshold)(case["maps"], (224, 224))
        np.testing.assert_array_equal(boxes, case["boxes"][:, i], err_msg=f"{threshold}")
        iou = [box_iou(b[None], g[None], plus_one=True)[0, 0] for b, g in zip(boxes, case["gt"], strict=True)]
        np.testing.assert_allclose(iou, case["iou"][:, i], rtol=0, atol=1e-12)


def check_frames(case: Case) -> None:
    """Ground-truth boxes in the crop's frame, as the official CUB and ILSVRC data sets move them."""
    for source, *expected in zip(case["source"], case["cub"], case["ilsvrc"], strict=True):
        ours = gt_to_frame(source[None, :4], tuple(source[4:]), (224, 224), "sat")
        for boxes in expected:
            np.testing.assert_array_equal(ours[0], boxes)


def check_steps(case: Case) -> None:
    """Steps of AdamW: which parameters decay, the losses on the way, the weights afterwards."""
    meta = case.meta
    setup = meta.get("optimizer", meta)
    model = build(meta, torch.float64)
    names = load(model, case)
    optimizer = dict(type="AdamW", lr=setup.get("lr", 1e-4), weight_decay=setup.get("weight_decay", 0.05))
    optim = build_optim_wrapper(model, dict(optimizer=optimizer, paramwise_cfg=dict(flat_decay_mult=0.0)))
    params = dict(model.named_parameters())
    decays = {id(p): group["weight_decay"] for group in optim.optimizer.param_groups for p in group["params"]}
    for name in meta["param_names"]:
        assert decays[id(params[names[name]])] == (optimizer["weight_decay"] if name in meta["decayed"] else 0), name
    start = {name: params[names[name]].detach().clone() for name in meta["param_names"]}
    rows = []
    batches = [torch.from_numpy(recipe.inputs(meta, case.arrays, spec)) for spec in meta["step_inputs"]]
    case.used.update(spec["key"] for spec in meta["step_inputs"] if "key" in spec)
    model.train()
    for images, labels in zip(batches, meta["labels"], strict=True):
        losses = model(images, [LocDataSample().set_gt_label(label) for label in labels], mode="loss")
        total = sum(losses.values())
        rows.append(torch.stack([total, *(losses[f"loss_{name}"] for name in TERMS)]).detach())
        optim.update_params(total)
    case.close("loss_total_cls_area_norm", torch.stack(rows))
    after = [params[names[name]].detach() for name in meta["param_names"]]
    case.close("after_param_l2", torch.stack([p.norm() for p in after]))
    case.close("param_change_l2", torch.stack([(p - s).norm() for p, s in zip(after, start.values(), strict=True)]))
    for name in case.names("after/"):
        case.close(f"after/{name}", params[names[name]])
    model.eval()
    with torch.no_grad():
        feats = model.backbone(batches[0])
        case.close("after_logits", model.head(feats))
        case.close("after_M", model.head.foreground(feats))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_case(path):
    case = Case(path)
    if "step_inputs" in case.meta:
        check_steps(case)
    elif "tensors" in case.meta:
        check_network(case, torch.float64, 1e-9)
    elif "maps" in case:
        check_map_boxes(case)
    else:
        check_frames(case)
    case.all_used()


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_case_float32(path):
    case = Case(path)
    if "tensors" not in case.meta or "step_inputs" in case.meta:
        pytest.skip("no single forward pass in this case")
    check_network(case, torch.float32, FLOAT32)
