"""TS-CAM equals the official implementation on every golden case (DeiT networks and box cases)."""

import numpy as np
import pytest
import torch
from golden_case import Case, case_paths
from loc_case import check_box_case, check_dataset_case, check_evaluation
from mmengine.optim import build_optim_wrapper

from mmwsol.models.task_modules import ContourBox
from mmwsol.registry import MODELS
from mmwsol.utils import convert_official

PATHS = case_paths("tscam")
OFFICIAL_OPTIMIZER = dict(
    flat_decay_mult=0.0,
    bias_decay_mult=0.0,
    custom_keys=dict(cls_token=dict(decay_mult=0.0), pos_embed=dict(decay_mult=0.0)),
)


def build(meta: dict, dtype: torch.dtype, tap: str = "cls") -> torch.nn.Module:
    arch = meta["arch"]
    depth = arch["depth"]
    dims = dict(
        embed_dims=arch["embed_dim"],
        num_layers=depth,
        num_heads=arch["num_heads"],
        feedforward_channels=int(arch["embed_dim"] * arch["mlp_ratio"]),
    )
    backbone = dict(
        type="mmwsol.TapViT",
        arch=dims,
        img_size=arch["img_size"],
        patch_size=arch["patch"],
        norm_cfg=dict(type="LN", eps=arch["ln_eps"]),
        drop_path_rate=arch["drop_path"],
        tap=tap,
        tap_in_train=True,
        out_tokens=list(range(1, depth + 1)),
    )
    classes = meta.get("num_classes") or dict(meta["tensors"])["head.weight"][0]
    head = dict(type="mmwsol.ConvCAMHead", num_classes=classes, in_channels=arch["embed_dim"])
    localizer = MODELS.build(dict(type="mmwsol.ImageLocalizer", backbone=backbone, head=head))
    return localizer.to(dtype).eval()


def load(model: torch.nn.Module, state: dict) -> dict[str, str]:
    """Load official weights; return official name -> ours."""
    weights = {name: torch.from_numpy(np.asarray(value)) for name, value in state.items()}
    missing, unexpected = model.load_state_dict(convert_official(weights, "tscam"), strict=False)
    assert not unexpected
    assert all(name.startswith("map_to_box.") for name in missing), missing
    names = {}
    for name, value in weights.items():
        (names[name],) = convert_official({name: value}, "tscam")
    return names


def check_boxes(case: Case, top5_maps, gt_maps, size: tuple[int, int], error: float) -> None:
    """Boxes of the float32 maps: equal wherever the cut is farther from a grey level than our error."""
    for i, threshold in enumerate(case["box_thr"]):
        rule = ContourBox(preset="tscam", threshold=float(threshold))
        for key, maps in (("box_top5", top5_maps), ("box_gt", gt_maps)):
            expected = case[key][i].reshape(-1, 4)
            margin = case[f"{key}_margin"][i].reshape(-1)
            boxes = rule(maps.float().reshape(-1, *maps.shape[-2:]), size)
            exact = margin > error
            np.testing.assert_array_equal(boxes[exact], expected[exact], err_msg=f"{key} {threshold}")
            assert np.abs(boxes - expected).max() <= 3, f"{key} at {threshold}"


def check_network(case: Case, dtype: torch.dtype, tolerance: float) -> None:
    meta = case.meta
    model = build(meta, dtype)
    names = load(model, case.state())
    images = torch.from_numpy(case.inputs()).to(dtype)
    labels = torch.tensor(meta["labels"])
    with torch.no_grad():
        feats = model.backbone(images)
        prediction = model.head.predict(feats, labels)
        semantic = model.head.conv(feats.patch_map)
        attention = model.head.attention(feats)
        all_maps = semantic * attention
        logits = model.head(feats)
    size = tuple(images.shape[2:])
    case.close("logits", logits, tolerance)
    case.close("A_map", attention[:, 0], tolerance)
    np.testing.assert_array_equal(prediction.labels[:, :5], case["top5"])
    np.testing.assert_array_equal(prediction.labels[:, -1], labels)
    torch.testing.assert_close(prediction.scores, logits.softmax(1))
    top5, gt = prediction.maps[:, :5], prediction.maps[:, -1]
    if "attn_cls" in case:
        mean = feats.cls_attn.mean(2).flatten(2)  # (B, L, N)
        case.close("attn_cls", mean.transpose(0, 1), tolerance)
        case.close("attn_cls_cls", 1 - mean.sum(-1).T, tolerance)
        case.close("tok_norm", torch.stack([t.norm(dim=-1) for t in feats.tokens]), tolerance)
        case.close("cls_last", feats.tokens[-1][:, 0], tolerance)
        case.close("S_map", semantic, tolerance)
        case.close("cams_sum", all_maps.sum((2, 3)), tolerance)
        case.close("cams_abs_sum", all_maps.abs().sum((2, 3)), tolerance)
        case.close("cams_top5", top5, tolerance)
        case.close("cams_gt", gt, tolerance)
    else:
        case.close("map_top5", top5, tolerance)
        case.close("map_gt", gt, tolerance)
    error = 0 if dtype == torch.float64 else 1e-5
    check_boxes(case, top5, gt, size, error)
    up = ContourBox(preset="tscam").scoremap(gt[:1].float(), size)[0]
    case.close("map_up_gt_img0", up, max(tolerance, 1e-5))

    if "loss_ce" in case:
        check_training(case, model, names, images, labels, tolerance)


def check_training(case: Case, model, names, images, labels, tolerance) -> None:
    model.train()
    logits = model.head(model.backbone(images))
    loss = torch.nn.functional.cross_entropy(logits, labels)
    case.close("logits_train", logits, tolerance)
    case.close("loss_ce", loss, tolerance)
    params = dict(model.named_parameters())
    loss.backward()
    for name in case.names("gradnorm/"):
        case.close(f"gradnorm/{name}", params[names[name]].grad.norm(), tolerance)
    total = torch.stack([p.grad.norm() for p in params.values()]).norm()
    case.close("gradnorm_total", total, tolerance)

    if "loss_steps" not in case:
        return
    setup = case.meta["optimizer"]
    optim = build_optim_wrapper(
        model,
        dict(
            optimizer=dict(
                type=setup["type"],
                lr=setup["lr"],
                betas=setup["betas"],
                eps=setup["eps"],
                weight_decay=max(setup["weight_decays"]),
            ),
            paramwise_cfg=OFFICIAL_OPTIMIZER,
        ),
    )
    decays = [group["weight_decay"] for group in optim.optimizer.param_groups for _ in group["params"]]
    assert [decays.count(wd) for wd in setup["weight_decays"]] == setup["n_in_groups"]
    model.zero_grad()
    start = {name: p.detach().clone() for name, p in params.items()}
    losses = []
    for step in range(setup["steps"] + 1):
        loss = torch.nn.functional.cross_entropy(model.head(model.backbone(images)), labels)
        losses.append(loss.detach())
        if step < setup["steps"]:
            optim.update_params(loss)
    case.close("loss_steps", torch.stack(losses), tolerance)
    for name in case.names("delta_norm/"):
        change = (params[names[name]] - start[names[name]]).norm()
        case.close(f"delta_norm/{name}", change, tolerance)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_case(path):
    case = Case(path)
    kind = case.meta.get("model")
    if kind not in (None, "TSCAM"):
        pytest.skip(f"{kind} is not in mmwsol yet")
    if "image0" in case:
        check_dataset_case(case)
    elif kind is None:
        check_box_case(case)
    else:
        check_network(case, torch.float64, 1e-9)
        if any(name.startswith("eval") for name in case.arrays):
            check_evaluation(case)
    case.all_used()


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_case_float32(path):
    case = Case(path)
    if case.meta.get("model") != "TSCAM":
        pytest.skip("no DeiT network in this case")
    check_network(case, torch.float32, 1e-4)
