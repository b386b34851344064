"""TS-CAM equals the official implementation on every golden case: DeiT, Conformer, VGG16-CAM and box cases."""

import numpy as np
import pytest
import torch
from golden_case import FLOAT32, Case, case_paths
from loc_case import check_box_case, check_dataset_case, check_evaluation
from mmengine.optim import build_optim_wrapper
from networks import build, load

from mmwsol.models.box_rules import ContourBox

PATHS = case_paths("tscam")
NETWORKS = [path for path in PATHS if "model" in Case(path).meta]
OFFICIAL_OPTIMIZER = dict(
    flat_decay_mult=0.0,
    bias_decay_mult=0.0,
    custom_keys=dict(cls_token=dict(decay_mult=0.0), pos_embed=dict(decay_mult=0.0)),
)


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
        feats = model.extract_feat(images)
        prediction = model.head.predict(feats, labels)
        logits = model.head(feats)
        check_features(case, model.head, feats, tolerance)
    size = tuple(images.shape[2:])
    case.close("logits", logits, tolerance)
    np.testing.assert_array_equal(prediction.labels[:, :5], case["top5"])
    np.testing.assert_array_equal(prediction.labels[:, -1], labels)
    torch.testing.assert_close(prediction.scores, logits.softmax(1))
    top5, gt = prediction.maps[:, :5], prediction.maps[:, -1]
    maps = "cams" if "cams_gt" in case else "map"
    case.close(f"{maps}_top5", top5, tolerance)
    case.close(f"{maps}_gt", gt, tolerance)
    error = 0 if dtype == torch.float64 else 1e-5
    check_boxes(case, top5, gt, size, error)
    up = ContourBox(preset="tscam").scoremap(gt[:1].float(), size)[0]
    case.close("map_up_gt_img0", up, max(tolerance, 1e-5))

    if "loss_ce" in case:
        check_training(case, model, names, images, labels, tolerance)


def check_features(case: Case, head, feats, tolerance: float) -> None:
    """Compare what the backbone and the parts of the head give, as far as the case holds it."""
    if "A_map" in case:
        case.close("A_map", head.attention(feats)[:, 0], tolerance)
    if "attn_cls" in case:
        mean = feats.cls_attn.mean(2).flatten(2)  # (B, L, N)
        case.close("attn_cls", mean.transpose(0, 1), tolerance)
        case.close("attn_cls_cls", 1 - mean.sum(-1).T, tolerance)
        case.close("tok_norm", torch.stack([t.norm(dim=-1) for t in feats.tokens]), tolerance)
        case.close("cls_last", feats.tokens[-1][:, 0], tolerance)
        case.close("S_map", head.conv(feats.patch_map), tolerance)
    if "conv_pooled" in case:
        case.close("conv_pooled", feats.conv_map.mean((2, 3)), tolerance)
        case.close("conv_logits", head.branch_logits(head.encode(feats))[1], tolerance)
    if "feat_mean" in case:
        case.close("feat_mean", feats.patch_map.mean((2, 3)), tolerance)
        case.close("feat_img0_ch0_7", feats.patch_map[0, :8], tolerance)
    if "cams_sum" in case:
        head.topk, topk = head.num_classes, head.topk
        _, maps, labels = head.predict(feats)
        head.topk = topk
        sums = torch.zeros_like(maps[..., 0, 0])
        case.close("cams_sum", sums.scatter(1, labels, maps.sum((2, 3))), tolerance)
        case.close("cams_abs_sum", sums.scatter(1, labels, maps.abs().sum((2, 3))), tolerance)


def check_training(case: Case, model, names, images, labels, tolerance) -> None:
    model.train()
    logits = model.head(model.extract_feat(images))
    loss = torch.nn.functional.cross_entropy(logits, labels)
    case.close("logits_train", logits, tolerance)
    case.close("loss_ce", loss, tolerance)
    buffers = dict(model.named_buffers())
    for name in case.names("after1/"):  # running statistics after this one forward pass
        case.close(f"after1/{name}", buffers[names[name]], tolerance)
    params = dict(model.named_parameters())
    loss.backward()
    # Norms in float64: a float32 norm of millions of numbers is itself off by 1e-4.
    norms = {name: p.grad.double().norm() for name, p in params.items()}
    listed = [f"gradnorm/{name}" for name in case.names("gradnorm/")]
    for name in case.names("gradnorm/"):
        case.close_gradients(f"gradnorm/{name}", norms[names[name]], tolerance, listed)
    case.close_gradients("gradnorm_total", torch.stack(list(norms.values())).norm(), tolerance)

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
        loss = torch.nn.functional.cross_entropy(model.head(model.extract_feat(images)), labels)
        losses.append(loss.detach())
        if step < setup["steps"]:
            optim.update_params(loss)
    case.close("loss_steps", torch.stack(losses), tolerance)
    for name in case.names("delta_norm/"):
        change = (params[names[name]] - start[names[name]]).double().norm()
        case.close(f"delta_norm/{name}", change, tolerance)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_case(path):
    case = Case(path)
    if "image0" in case:
        check_dataset_case(case)
    elif "model" not in case.meta:
        check_box_case(case)
    else:
        check_network(case, torch.float64, 1e-9)
        if any(name.startswith("eval") for name in case.arrays):
            check_evaluation(case)
    case.all_used()


@pytest.mark.parametrize("path", NETWORKS, ids=lambda path: path.stem)
def test_case_float32(path):
    check_network(Case(path), torch.float32, FLOAT32)
