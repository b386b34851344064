"""TRT equals the official implementation on every golden case: both stages, top-k selection, plain attention."""

import numpy as np
import pytest
import torch
from golden_case import FLOAT32, PERCENT, Case, case_paths
from loc_case import check_evaluation, check_max_box_acc, samples_of
from mmengine.optim import build_optim_wrapper
from test_tscam import OFFICIAL_OPTIMIZER, check_boxes

from mmwsol.evaluation.protocols import protocol_metrics
from mmwsol.models import TapViT
from mmwsol.models.box_rules import ContourBox
from mmwsol.registry import METRICS, MODELS
from mmwsol.structures import LocDataSample
from mmwsol.utils import convert_official

PATHS = case_paths("trt")
# What the official classes are in our words.
PARTS = {"TRT": "tpsm", "TRTFuse": "cam", "DeitPos224": "tpsm"}
# The official masked softmax rounds to float32 in a float64 model too: a last bit of it may differ.
ROUNDED = 1e-7


def tpsm_options(meta: dict) -> dict:
    if meta["model"] == "DeitPos224":  # ordinary softmax among the selected tokens
        return dict(selection="topk", topk=meta["select_num"], mask_eps=0, lambda_eps=0)
    return dict(u=meta["u"], renorm_lambda=meta["model"] == "TRT")


def build(meta: dict, dtype: torch.dtype) -> torch.nn.Module:
    arch, name = meta["arch"], meta["model"]
    backbone = dict(
        arch=dict(
            embed_dims=arch["embed_dim"],
            num_layers=arch["depth"],
            num_heads=arch["num_heads"],
            feedforward_channels=int(arch["embed_dim"] * arch["mlp_ratio"]),
        ),
        img_size=arch["img_size"],
        patch_size=arch["patch"],
        norm_cfg=dict(type="LN", eps=arch["ln_eps"]),
        drop_path_rate=arch["drop_path"],
    )
    head = dict(num_classes=meta["num_classes"], in_channels=arch["embed_dim"])
    if name == "Deit":
        backbone.update(type="mmwsol.TapViT")
        head.update(type="mmwsol.ClsTokenHead")
    else:
        backbone.update(type="mmwsol.TRTViT", tpsm=tpsm_options(meta), train_part=PARTS[name])
        head.update(type="mmwsol.TRTHead", train_part=PARTS[name])
    model = MODELS.build(dict(type="mmwsol.ImageLocalizer", backbone=backbone, head=head))
    return model.to(dtype).eval()


def load(model: torch.nn.Module, state: dict) -> dict[str, str]:
    """Load official weights; return official name -> ours."""
    weights = {name: torch.from_numpy(np.asarray(value)) for name, value in state.items()}
    names = {}
    for name in weights:
        (names[name],) = convert_official({name: weights[name]}, "trt")
    missing, unexpected = model.load_state_dict(convert_official(weights, "trt"), strict=False)
    assert not unexpected
    assert all(name.startswith("map_to_box.") for name in missing), missing
    layers = getattr(model.backbone, "layers", ())
    last = f"backbone.layers.{len(layers)}."  # renamed as it is loaded
    return {name: ours.replace(last, "backbone.last_block.") for name, ours in names.items()}


def after_scoring(meta: dict, tolerance: float) -> float:
    """Tolerance of what the masked softmax of the scoring block goes into."""
    return max(tolerance, ROUNDED) if meta["model"] in ("TRT", "TRTFuse") else tolerance


def rank_of(order: np.ndarray, values: torch.Tensor, number: int) -> torch.Tensor:
    """Values (B, N) of the first ``number`` tokens in the order of their attention."""
    return values.gather(1, torch.from_numpy(order[:, :number].astype(np.int64)))


def check_tokens(case: Case, model, images, tolerance: float) -> None:
    """Compare what happens inside the backbone."""
    backbone = model.backbone
    depth = case.meta["arch"]["depth"]
    backbone.out_tokens = (depth - 2, depth - 1)
    feats = TapViT.forward(backbone, images)
    backbone.out_tokens = (depth - 2,)
    patches = feats.patch_map.flatten(2).transpose(1, 2)
    found = backbone.tpsm(patches, feats.cls_attn)
    if "m" in case:
        case.close("m", found.attention, tolerance)
        np.testing.assert_array_equal(found.keep, case["b"])
    if "attn_cls" not in case:
        case.close("lam", found.weights, after_scoring(case.meta, tolerance))
        return
    case.close("attn_cls", feats.cls_attn.mean(2).flatten(2).transpose(0, 1), tolerance)
    for name, tokens in zip(("z_pen2_norm", "z_pen_norm"), feats.tokens, strict=True):
        case.close(name, tokens.norm(dim=-1), tolerance)
    case.close("cls_pen", feats.cls_token, tolerance)
    strict, tolerance = tolerance, after_scoring(case.meta, tolerance)
    case.close("fusion_token", (found.weights[..., None] * patches).sum(1), tolerance)
    order = case["order"]
    if case.meta.get("select_num"):
        total = feats.cls_attn.mean(2).sum(1).flatten(1)
        case.close("m_sum", total, strict)
        number = case.meta["select_num"]
        chosen = np.zeros(order.shape, bool)
        np.put_along_axis(chosen, order[:, :number], True, axis=1)
        np.testing.assert_array_equal(found.keep, chosen)
        case.close("s", rank_of(order, found.scores, number), tolerance)
        case.close("lam", rank_of(order, found.weights, number), tolerance)
        return
    np.testing.assert_array_equal(found.attention.argsort(dim=1, descending=True, stable=True), order)
    case.close("cumsum", rank_of(order, found.attention, order.shape[1]).cumsum(1), strict)
    case.close("s", found.scores, tolerance)
    case.close("lam", found.weights, tolerance)
    block = backbone.tpsm.block
    out, weights = block.attn(block.ln1(patches), found.keep)
    case.close("score_attn_rows", weights[:, :, [0, order.shape[1] // 2, order.shape[1] - 1]], tolerance)
    out = block.ffn(block.ln2(patches + out), identity=patches + out)
    case.close("score_tok_norm", out.norm(dim=-1), tolerance)


def check_maps(case: Case, model, images, labels, tolerance: float, error: float) -> None:
    """Compare scores, maps and boxes."""
    strict, tolerance = tolerance, after_scoring(case.meta, tolerance)
    feats = model.backbone(images)
    prediction = model.head.predict(feats, labels)
    logits = model.head(feats)
    case.close("logits", logits, tolerance)
    torch.testing.assert_close(prediction.scores, logits.softmax(1))
    np.testing.assert_array_equal(logits.topk(5).indices, case["top5"])
    if case.meta["model"] != "TRTFuse":
        assert (prediction.labels == -1).all()
        case.close("map" if "map" in case else "m_prime", official_map(case, prediction.maps), tolerance)
        top5, gt = prediction.maps.expand(-1, 5, -1, -1), prediction.maps[:, 0]
    else:
        np.testing.assert_array_equal(prediction.labels[:, :5], case["top5"])
        np.testing.assert_array_equal(prediction.labels[:, -1], labels)
        case.close("m_prime", feats.attn_map.flatten(1), tolerance)
        class_maps = model.head.class_maps(feats)
        case.close("logits_c", class_maps.mean((2, 3)), strict)
        top5, gt = prediction.maps[:, :5], prediction.maps[:, -1]
        prefix = "fused" if "fused_gt" in case else "map"
        case.close(f"{prefix}_top5", top5, tolerance)
        case.close(f"{prefix}_gt", gt, tolerance)
        if "M_C" in case:
            fused = class_maps * feats.attn_map
            case.close("M_C", class_maps, strict)
            case.close("fused_sum", fused.sum((2, 3)), tolerance)
            case.close("fused_abs_sum", fused.abs().sum((2, 3)), tolerance)
    size = tuple(images.shape[2:])
    check_boxes(case, top5, gt, size, error)
    up = ContourBox(preset="trt").scoremap(gt[:1].float(), size)[0]
    case.close("map_up_gt_img0", up, max(tolerance, 1e-5))


def official_map(case: Case, maps: torch.Tensor) -> torch.Tensor:
    return maps[:, 0] if "map" in case else maps.flatten(1)


def check_training(case: Case, model, names, images, labels, tolerance: float) -> None:
    samples = [LocDataSample().set_gt_label(int(label)) for label in labels]
    params = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert len(params) == case.meta["n_params_with_grad"]
    if "grad_only_under" in case.meta:
        allowed = [ours for name, ours in names.items() if name.startswith(case.meta["grad_only_under"])]
        assert set(params) == set(allowed)
    model.train()
    if "loss_ls01" in case:
        smooth = MODELS.build(dict(type="mmpretrain.LabelSmoothLoss", label_smooth_val=0.1, mode="original"))
        plain, model.head.loss_cls = model.head.loss_cls, smooth
        case.close("loss_ls01", model(images, samples, mode="loss")["loss_cls"], tolerance)
        model.head.loss_cls = plain
    [loss] = model(images, samples, mode="loss").values()
    case.close("loss_ce", loss, tolerance)
    loss.backward()
    # Norms in float64: a float32 norm of millions of numbers is itself off by 1e-4.
    norms = {name: p.grad.double().norm() for name, p in params.items()}
    listed = [f"gradnorm/{name}" for name in case.names("gradnorm/")]
    for name in case.names("gradnorm/"):
        case.close_gradients(f"gradnorm/{name}", norms[names[name]], tolerance, listed)
    case.close_gradients("gradnorm_total", torch.stack(list(norms.values())).norm(), tolerance)
    if "loss_steps" in case:
        check_steps(case, model, names, images, samples, tolerance)


def check_steps(case: Case, model, names, images, samples, tolerance: float) -> None:
    """Compare losses and changes over some optimizer steps on one batch."""
    setup = case.meta["optimizer"]
    optimizer = {key: setup[key] for key in ("type", "lr", "betas", "eps")}
    optimizer["weight_decay"] = max(setup["weight_decays"])
    optim = build_optim_wrapper(model, dict(optimizer=optimizer, paramwise_cfg=OFFICIAL_OPTIMIZER))
    decays = [group["weight_decay"] for group in optim.optimizer.param_groups for _ in group["params"]]
    assert [decays.count(wd) for wd in setup["weight_decays"]] == setup["n_in_groups"]
    model.zero_grad()
    start = {name: value.clone() for name, value in model.state_dict().items()}
    losses = []
    for step in range(setup["steps"] + 1):
        [loss] = model(images, samples, mode="loss").values()
        losses.append(loss.detach())
        if step < setup["steps"]:
            optim.update_params(loss)
    case.close("loss_steps", torch.stack(losses), tolerance)
    after = model.state_dict()
    changed = {name for name in after if not torch.equal(after[name], start[name])}
    assert changed == {name for name, p in model.named_parameters() if p.requires_grad}
    assert len(changed) == case.meta["n_params_changed"]
    for name in case.names("delta_norm/"):
        ours = names[name]
        case.close(f"delta_norm/{name}", (after[ours] - start[ours]).norm(), tolerance)
    for name in case.names("after_norm/"):
        case.close(f"after_norm/{name}", after[names[name]].norm(), tolerance)


def check_selections(case: Case, dtype: torch.dtype, tolerance: float) -> None:
    """Compare both stages with one set of weights for several u, from an empty selection to all patches.

    With an empty selection lambda and the fusion token are zero and m' is m. The official first stage divides zero by
    zero there and has no map; ours has the same as the second.
    """
    meta = case.meta
    images = torch.from_numpy(case.inputs()).to(dtype)
    labels = torch.tensor(meta["labels"])
    shape = images.shape[0], *(side // meta["arch"]["patch"] for side in images.shape[2:])
    error = 0 if dtype == torch.float64 else 1e-5
    for i, (u, known) in enumerate(zip(meta["us"], meta["per_u"], strict=True)):
        assert u == known["u"]
        second, _ = build_and_load(case, dict(meta, model="TRTFuse", u=u), dtype)
        with torch.no_grad():
            check_selection(case, second, images, labels, f"u{i}", known, tolerance)
            maps = second.head.predict(second.backbone(images), labels).maps[:, -1]
        rounded = after_scoring(dict(model="TRTFuse"), tolerance)
        case.close(f"u{i}/fused_gt", maps, rounded)
        check_gt_boxes(case, f"u{i}/box_gt_stage2", maps, images, error)

        first, names = build_and_load(case, dict(meta, model="TRT", u=u), dtype)
        with torch.no_grad():
            feats = first.backbone(images)
            maps = first.head.predict(feats, labels).maps[:, 0]
            case.close(f"u{i}/logits", first.head(feats), rounded)
        finite = np.isfinite(case[f"u{i}/m_prime_stage1"])
        assert finite.all() == finite.any() == known["stage1_map_finite"]
        expected = f"u{i}/m_prime_stage1" if known["stage1_map_finite"] else "m"
        case.close(expected, maps.flatten(1), rounded)
        if known["stage1_map_finite"]:
            check_gt_boxes(case, f"u{i}/box_gt_stage1", maps.reshape(shape), images, error)
        first.train()
        loss = first(images, [LocDataSample().set_gt_label(label) for label in meta["labels"]], mode="loss")["loss_cls"]
        case.close(f"u{i}/loss_stage1_ce", loss, rounded)
        loss.backward()
        parameters = dict(first.named_parameters())
        prefix = f"u{i}/gradnorm_stage1/"
        listed = [prefix + name for name in case.names(prefix)]
        for name in case.names(prefix):
            case.close_gradients(prefix + name, parameters[names[name]].grad.norm(), rounded, listed)


def build_and_load(case: Case, meta: dict, dtype: torch.dtype) -> tuple[torch.nn.Module, dict[str, str]]:
    """Build the model of one stage; the first has no CAM branch."""
    state = case.state()
    if meta["model"] == "TRT":
        state = {name: value for name, value in state.items() if not name.startswith("camfuse_block.")}
    model = build(meta, dtype)
    return model, load(model, state)


def check_selection(case: Case, model, images, labels, prefix: str, known: dict, tolerance: float) -> None:
    """Compare selection, scores and maps of the second stage for one u."""
    strict, tolerance = tolerance, after_scoring(dict(model="TRTFuse"), tolerance)
    feats = TapViT.forward(model.backbone, images)
    patches = feats.patch_map.flatten(2).transpose(1, 2)
    scored = model.backbone.tpsm(patches, feats.cls_attn)
    order = case["order"]
    case.close("m", scored.attention, strict)
    np.testing.assert_array_equal(scored.attention.argsort(dim=1, descending=True, stable=True), order)
    case.close("cumsum", rank_of(order, scored.attention, order.shape[1]).cumsum(1), strict)
    np.testing.assert_array_equal(scored.keep, case[f"{prefix}/b"])
    assert scored.keep.sum(1).tolist() == known["kept"]
    case.close(f"{prefix}/s", scored.scores, tolerance)
    case.close(f"{prefix}/lam", scored.weights, tolerance)
    case.close(f"{prefix}/fusion_token", (scored.weights[..., None] * patches).sum(1), tolerance)
    feats = model.backbone(images)
    class_maps = model.head.class_maps(feats)
    case.close("M_C", class_maps, strict)
    case.close("logits_c", class_maps.mean((2, 3)), strict)
    case.close(f"{prefix}/logits", model.head(feats), tolerance)
    case.close(f"{prefix}/m_prime_stage2", feats.attn_map.flatten(1), tolerance)
    if not any(known["kept"]):
        torch.testing.assert_close(feats.attn_map.flatten(1), scored.attention)


def check_gt_boxes(case: Case, name: str, maps, images, error: float) -> None:
    """Compare boxes (T, B, 4) of float32 maps (B, h, w) where the cut is farther from a gray level than ``error``."""
    thresholds = (0.1, 0.12)  # the published ones, for cases that list none
    if "box_thr" in case:
        thresholds = case["box_thr"]
    for threshold, expected, margin in zip(thresholds, case[name], case[f"{name}_margin"], strict=True):
        boxes = ContourBox(preset="trt", threshold=float(threshold))(maps.float(), tuple(images.shape[2:]))
        np.testing.assert_array_equal(boxes[margin > error], expected[margin > error], err_msg=f"{name} {threshold}")
        assert np.abs(boxes - expected).max() <= 3, f"{name} at {threshold}"


def check_network(case: Case, dtype: torch.dtype, tolerance: float) -> None:
    meta = case.meta
    if "us" in meta:
        check_selections(case, dtype, tolerance)
        return
    model = build(meta, dtype)
    names = load(model, case.state())
    images = torch.from_numpy(case.inputs()).to(dtype)
    labels = torch.tensor(meta["labels"])
    with torch.no_grad():
        if meta["model"] == "Deit":
            attention = model.backbone(images).cls_attn
            case.close("attn_cls", attention.mean(2).flatten(2).transpose(0, 1), tolerance)
        else:
            check_tokens(case, model, images, tolerance)
        check_maps(case, model, images, labels, tolerance, error=0 if dtype == torch.float64 else 1e-5)
    if "loss_ce" in case:
        if meta["model"] == "TRT":
            tolerance = after_scoring(meta, tolerance)
        check_training(case, model, names, images, labels, tolerance)


def check_published_evaluator(case: Case) -> None:
    """Compare TRT's box accuracies: one threshold, all contours, first box of the picture."""
    meta = case.meta
    maps = case["map_gt"][:, None].astype(np.float32)
    labels = np.array(meta["labels"])
    size = meta["arch"]["img_size"]
    samples = samples_of(case["logits"], maps, labels[:, None], labels, meta["gt_boxes"], size)
    for i, threshold in enumerate(meta["eval_thresholds"]):
        name = f"eval{i}/maxboxacc_single_thr"
        check_max_box_acc(case, name, [threshold], samples)
        [config] = protocol_metrics("trt_v2", threshold)
        metric = METRICS.build(dict(config, frame_rule="wsol"))  # boxes are in the frame already
        metric.process(None, samples)
        values = metric.evaluate(len(samples))
        ours = [values[f"trt_v2/max_box_acc_v2@{bar}"] for bar in (30, 50, 70)]
        np.testing.assert_allclose(ours, case[name], rtol=0, atol=PERCENT)
    check_max_box_acc(case, "maxboxacc_sweep_first_gt_only", case["maxboxacc_sweep_thr"].tolist(), samples)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_case(path):
    case = Case(path)
    check_network(case, torch.float64, 1e-9)
    if "eval_thresholds" in case.meta:
        check_evaluation(case)
        check_published_evaluator(case)
    case.all_used()


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_case_float32(path):
    check_network(Case(path), torch.float32, FLOAT32)


def test_there_are_cases():
    assert PATHS, "no golden case of trt"
