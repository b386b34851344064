"""CDTR and CATR equal the official implementations on every golden case, in the code's and in the paper's form."""

import numpy as np
import pytest
import torch
from golden_case import FLOAT32, PERCENT, Case, case_paths, recipe
from loc_case import run, samples_of
from mmengine.optim import build_optim_wrapper
from test_tscam import OFFICIAL_OPTIMIZER

from mmwsol.evaluation.functional import box_iou, gt_to_frame
from mmwsol.evaluation.metrics import LocAccuracy
from mmwsol.models.box_rules import ContourBox
from mmwsol.models.heads.base import Batch
from mmwsol.registry import MODELS
from mmwsol.structures import LocDataSample
from mmwsol.utils import convert_official

PATHS = case_paths("cdtr")
MAP_NORMS = {"raw": "none", "minmax": "minmax"}
OFFICIAL = dict(pairs="all", reduce="batch_sum", prompt_index="position")
PAPER = dict(pairs="same", reduce="mean", prompt_index="label")


def build(case: Case, dtype: torch.dtype, **options):
    """Make the model of a case; the options are those of the official code by default, others go to the head."""
    options = {**OFFICIAL, **options}
    pairs, reduce, prompt_index = (options.pop(name) for name in OFFICIAL)
    sba_options = {name: options.pop(name) for name in ("map_norm", "source") if name in options}
    meta = case.meta
    arch, hyper = meta["arch"], meta["hyper"]
    backbone = dict(
        type="mmwsol.TapViT",
        arch=dict(
            embed_dims=arch["embed_dim"],
            num_layers=arch["depth"],
            num_heads=arch["num_heads"],
            feedforward_channels=int(arch["embed_dim"] * arch["mlp_ratio"]),
        ),
        img_size=arch["img_size"],
        patch_size=arch["patch"],
        drop_path_rate=arch["drop_path"],
        tap_in_train=True,
    )
    map_losses = {}
    if "sba_stub" in meta:
        stub = meta["sba_stub"]
        sba = dict(
            type="mmwsol.SemanticBoostLoss",
            text_embeddings=torch.from_numpy(case["sba_text"]),
            clip=dict(type="mmwsol.StandInCLIP", embed_dim=stub["dim"]),
            map_norm=MAP_NORMS[hyper["sba_map"]],
            prompt_index=prompt_index,
            loss_weight=hyper["alpha"],
        )
        map_losses["loss_sba"] = {**sba, **sba_options}
    head = dict(
        type="mmwsol.CDTRHead" if meta["method"] == "cdtr" else "mmwsol.CATRHead",
        num_classes=meta["num_classes"],
        in_channels=arch["embed_dim"],
        attn_shape=(arch["depth"], arch["num_heads"]),
        c_base=hyper["c_base"],
        ocm_blocks=hyper["ocm_blocks"],
        loss_ocm_s=dict(type="mmwsol.NoiseSuppressionLoss", ratio=hyper["p"], reduce=reduce),
        loss_ocm_a=dict(type="mmwsol.ObjectAwakeningLoss", pairs=pairs),
        map_losses=map_losses,
        **options,
    )
    rule = dict(type="mmwsol.ContourBox", preset=meta["method"], threshold=0.2)
    model = MODELS.build(dict(type="mmwsol.ImageLocalizer", backbone=backbone, head=head, map_to_box=rule)).to(dtype)
    if not hasattr(case, "weights"):  # drawn once
        weights = {name: torch.as_tensor(value) for name, value in case.state().items()}
        case.weights = convert_official(weights, meta["method"])
    model.load_state_dict(case.weights, strict=True)
    if map_losses:
        loss = model.head.map_losses["loss_sba"]
        loss.load()
        shapes = dict(weight=tuple(loss.encoder.encoder.weight.shape), bias=tuple(loss.encoder.encoder.bias.shape))
        for name, scale in (("weight", stub["scale"]), ("bias", 1.0)):
            value = scale * recipe.w(stub[name], shapes[name], meta["seed"], 1.0)
            getattr(loss.encoder.encoder, name).data = torch.from_numpy(value).to(dtype)
    return model


def ours(meta: dict, names) -> dict[str, str]:
    """Official name -> ours."""
    return {name: next(iter(convert_official({name: 0}, meta["method"]))) for name in names}


def samples(labels) -> list[LocDataSample]:
    return [LocDataSample().set_gt_label(label) for label in labels]


def norms(loss, parameters) -> torch.Tensor:
    grads = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    return torch.stack([torch.zeros_like(loss) if grad is None else grad.norm() for grad in grads])


def check_maps(case: Case, model, images, tolerance: float):
    """One forward pass of backbone and head, compared with everything inside; return what the head encodes, and the
    pseudo map."""
    head = model.head
    inside = {}
    for name, module in (("csm_E", head.csm.encoder), ("csm_Xd", head.csm.decoder)):
        module.register_forward_hook(lambda _, __, out, name=name: inside.__setitem__(name, out))
    for index, block in enumerate(head.ocm.blocks):
        block.register_forward_hook(lambda _, __, out, index=index: inside.__setitem__(index, out))
    feats = model.backbone(images)
    encoded = head.encode(feats)
    pseudo = head.ocm(feats.cls_attn)
    classes = case.meta["map_classes"]
    case.close("logits", head.classify(encoded), tolerance)
    case.close("csm_logits", encoded.csm.mean((2, 3)), tolerance)
    case.close("XA", feats.cls_attn.flatten(1, 2), tolerance)
    case.close("M", head.foreground(encoded), tolerance)
    case.close("P", pseudo, tolerance)
    case.close("F_out", encoded.semantic[:, classes], tolerance)
    case.close("F_csm", encoded.csm[:, classes], tolerance)
    case.close("csm_Xd", inside["csm_Xd"][:, classes], tolerance)
    if "csm_E" in case:
        case.close("csm_E", inside["csm_E"], tolerance)
    if "csm_E_first8" in case:
        case.close("csm_E_first8", inside["csm_E"][:, :8], tolerance)
    case.close("ocm_x", torch.cat([inside[i] for i in range(len(head.ocm.blocks))], 1), tolerance)
    case.close("final_cls", feats.cls_token, tolerance)
    case.close("final_patch_l2", feats.patch_map.flatten(2).norm(dim=1), tolerance)
    return encoded, pseudo


def check_train(case: Case, dtype: torch.dtype, tolerance: float) -> None:
    meta = case.meta
    model = build(case, dtype).train()
    head = model.head
    images = torch.from_numpy(case.inputs()).to(dtype)
    target = torch.tensor(meta["labels"])
    encoded, pseudo = check_maps(case, model, images, tolerance)
    attention = head.foreground(encoded)
    names = ours(meta, [name for name, _ in meta["tensors"]])
    state = model.state_dict()
    for name in case.names("after/"):
        case.close(f"after/{name}", state[names[name]], tolerance)

    threshold = head.loss_ocm_s.threshold(attention)
    case.close("ocm_threshold", threshold, tolerance)
    np.testing.assert_array_equal(attention <= threshold[:, None, None], case["ocm_kept"])
    losses = head.plain_terms(encoded, target)
    losses["total"] = head.weighting(list(losses.values())).sum()
    case.close("loss_awl", losses["total"], tolerance)
    if meta["method"] == "cdtr":
        offset = head.ski.conv_offset(encoded.semantic * attention[:, None])
        case.close("ski_offset", offset, tolerance)
        ski = head.integrate(encoded)
        case.close("ski_map", ski[:, meta["map_classes"]], tolerance)
        case.close("ski_logits", ski.mean((2, 3)), tolerance)
    if head.map_losses:
        losses["sba"] = check_boost(case, model, images, encoded, target, tolerance)
        losses["total"] = losses["total"] + meta["hyper"]["alpha"] * losses["sba"]
    parameters = dict(model.named_parameters())
    ordered = [parameters[names[name]] for name in meta["grad_names"]]
    assert len(ordered) == len(parameters)
    for name, loss in losses.items():
        case.close(f"loss_{name}", loss, tolerance)
        case.close_gradients(f"grad_norm_{name}", norms(loss, ordered), tolerance)
    whole = case.names("grad/")
    grads = torch.autograd.grad(losses["total"], [parameters[names[name]] for name in whole], retain_graph=True)
    for name, grad in zip(whole, grads, strict=True):
        case.close_gradients(f"grad/{name}", grad, tolerance)

    again = build(case, dtype).train()
    reported = again(images, samples(meta["labels"]), mode="loss")
    case.close("loss_awl", weighted_terms(reported), tolerance)
    total, log = again.parse_losses(reported)
    case.close("loss_total", total, tolerance)
    assert {"cls", "csm", "ocm_s", "ocm_a", "lambda_cls"} <= set(log)
    check_paper_forms(case, dtype, images, encoded, pseudo, ordered, tolerance)


def weighted_terms(losses: dict[str, torch.Tensor]) -> torch.Tensor:
    """Sum the terms that the learned weights weight: all losses but SBA."""
    return sum(value for name, value in losses.items() if name.startswith("loss_") and name != "loss_sba")


def check_boost(case: Case, model, images, encoded, target, tolerance: float):
    """Compare SBA step by step; return the loss without its weight."""
    boost = model.head.map_losses["loss_sba"]
    mask = boost_map(model.head, encoded, target)
    case.close("sba_map", boost.normalize_map(mask)[:, 0], tolerance)
    features = boost.encode(boost.masked_images(images, mask)).unflatten(0, (2, -1))
    case.close("sba_feat_fg", features[0], tolerance)
    case.close("sba_feat_bg", features[1], tolerance)
    foreground, background = boost.similarities(images, mask, target)
    case.close("sba_sim_fg", foreground, tolerance)
    case.close("sba_sim_bg", background, tolerance)
    return boost(mask[:, 0], Batch(target, [], images)) / boost.loss_weight


def boost_map(head, encoded, target) -> torch.Tensor:
    """Compute the map (B, 1, h, w) that masks images, as :meth:`LocHead.loss` hands it to the loss."""
    source = head.map_losses["loss_sba"].source
    return (head.label_map(encoded, target) if source == "label" else head.foreground(encoded))[:, None]


def check_paper_forms(case: Case, dtype, images, encoded, pseudo, ordered, tolerance: float) -> None:
    """The options that follow the paper in place of the code, from the same features."""
    meta = case.meta
    target = torch.tensor(meta["labels"])
    batch = Batch(target, [], images)

    def head(**options):
        return build(case, dtype, **options).train().head

    paper = head(**PAPER)
    attention = paper.foreground(encoded)
    case.close("own/ocm_s_mean", paper.loss_ocm_s(attention), tolerance)
    case.close("own/ocm_a_same", paper.loss_ocm_a(pseudo, attention), tolerance)
    mean = head(head_reduce="mean").foreground(encoded)
    official = head()
    case.close("own/ocm_s_headmean", official.loss_ocm_s(mean), tolerance)
    case.close("own/ocm_a_same_headmean", paper.loss_ocm_a(pseudo, mean), tolerance)
    case.close("own/ocm_a_all_headmean", official.loss_ocm_a(pseudo, mean), tolerance)
    if meta["method"] == "cdtr":
        paper_roles = head(ski_input="out")
        case.close("own/ski_out", paper_roles.plain_terms(encoded, target)["ski"], tolerance)
        case.close("own/ski_out_logits", paper_roles.integrate(encoded).mean((2, 3)), tolerance)
    if official.map_losses:
        mask = boost_map(paper, encoded, target)
        boost = paper.map_losses["loss_sba"]
        foreground, background = boost.similarities(images, mask, target)
        case.close("own/sim_fg_label", foreground, tolerance)
        case.close("own/sim_bg_label", background, tolerance)
        case.close("own/sba_label", boost(mask[:, 0], batch) / boost.loss_weight, tolerance)
        other = "none" if boost.map_norm == "minmax" else "minmax"
        boost = head(**PAPER, map_norm=other).map_losses["loss_sba"]
        case.close("own/sba_label_othernorm", boost(mask[:, 0], batch) / boost.loss_weight, tolerance)
        alone = head(**PAPER, map_norm="minmax", source="foreground")
        boost = alone.map_losses["loss_sba"]
        loss = boost(boost_map(alone, encoded, target)[:, 0], batch) / boost.loss_weight
        case.close("own/sba_label_attention_minmax", loss, tolerance)
    model = build(case, dtype, **PAPER).train()
    total, _ = model.parse_losses(model(images, samples(meta["labels"]), mode="loss"))
    case.close("own/paper_total", total, tolerance)
    names = ours(meta, meta["grad_names"])
    parameters = dict(model.named_parameters())
    case.close_gradients(
        "own/grad_norm_paper_total", norms(total, [parameters[names[name]] for name in meta["grad_names"]]), tolerance
    )


def check_eval(case: Case, dtype: torch.dtype, tolerance: float, error: float) -> None:
    meta = case.meta
    model = build(case, dtype).eval()
    images = torch.from_numpy(case.inputs()).to(dtype)
    target = torch.tensor(meta["labels"])
    with torch.no_grad():
        encoded, _ = check_maps(case, model, images, tolerance)
        prediction = model.head.predict(encoded.feats, target)
        logits = model.head(encoded.feats)
    np.testing.assert_array_equal(prediction.labels[:, 0], case["pred"])
    np.testing.assert_array_equal(prediction.labels[:, -1], target)
    # The official ILSVRC model halves its map.
    maps = prediction.maps * (0.5 if meta["variant"] == "imnet" else 1.0)
    gt = case["gt"]
    for name, scoremaps in (("label", maps[:, -1]), ("pred", maps[:, 0])):
        case.close(f"fused_{name}", scoremaps, tolerance)
        sure = np.array(meta[f"box_margin_{name}"]) > error
        for i, threshold in enumerate(meta["thresholds"]):
            rule = ContourBox(preset=meta["method"], threshold=threshold)
            boxes = rule(scoremaps.float(), (224, 224))
            expected = case[f"boxes_{name}"][:, i]
            np.testing.assert_array_equal(boxes[sure[:, i]], expected[sure[:, i]])
            if name == "pred":
                iou = [box_iou(box[None], g[None], plus_one=False)[0, 0] for box, g in zip(expected, gt, strict=True)]
                np.testing.assert_allclose(iou, case["iou"][:, i], rtol=0, atol=1e-12)
    up = ContourBox(preset=meta["method"]).scoremap(maps[:1, 0].float(), (224, 224))[0]
    case.close("map224_pred_first", up, max(tolerance, 1e-5))
    check_evaluation(case, logits, prediction, gt)


def check_evaluation(case: Case, logits, prediction, gt) -> None:
    """Top-1, Top-5 and 'GT-known' Loc (of the predicted class) and accuracy, by the metric."""
    meta = case.meta
    boxes = [" ".join(map(str, box)) for box in gt]
    records = samples_of(
        logits.float().numpy(), prediction.maps.float().numpy(), prediction.labels.numpy(), meta["labels"], boxes, 224
    )
    ranks = (logits > logits.gather(1, torch.tensor(meta["labels"])[:, None])).sum(1)
    for i, threshold in enumerate(meta["thresholds"]):
        rule = dict(type="mmwsol.ContourBox", preset=meta["method"])
        # Boxes are in the frame already: a resize to 224 and a crop to 224 leave them alone.
        metric = LocAccuracy(protocol="cdtr", resize_size=224, map_to_box=rule, threshold=threshold)
        values = run(metric, [dict(record) for record in records])
        loc = [values[f"loc/{name}"] for name in ("top1", "top5", "gt_known")]
        accuracy = [float((ranks < k).double().mean()) * 100 for k in (1, 5)]
        # The official code gives fractions for the first three and percentages for the last two.
        expected = case["eval_top1loc_top5loc_gtloc_acc1_acc5"][i] * [100, 100, 100, 1, 1]
        np.testing.assert_allclose([*loc, *accuracy], expected, rtol=0, atol=PERCENT)


def check_steps(case: Case) -> None:
    """Steps of AdamW: which parameters decay, the terms on the way, weights and statistics afterwards."""
    meta = case.meta
    setup = meta.get("optimizer", meta)
    model = build(case, torch.float64).train()
    names = ours(meta, [name for name, _ in meta["tensors"]])
    optimizer = dict(type="AdamW", lr=setup.get("lr", 1e-4), weight_decay=setup.get("weight_decay", 0.05))
    optim = build_optim_wrapper(model, dict(optimizer=optimizer, paramwise_cfg=OFFICIAL_OPTIMIZER))
    params = dict(model.named_parameters())
    decays = {id(p): group["weight_decay"] for group in optim.optimizer.param_groups for p in group["params"]}
    for name in meta["param_names"]:
        decayed = meta.get("decayed")
        token = name in ("cls_token", "pos_embed") or name.endswith(".bias") or params[names[name]].ndim == 1
        expected = name in decayed if decayed is not None else not token
        assert (decays[id(params[names[name]])] > 0) == expected, name
    start = {name: params[names[name]].detach().clone() for name in meta["param_names"]}
    (table,) = case.names("loss_total_")
    steps = len(case[f"loss_total_{table}"])
    specs = meta.get("step_inputs") or [meta["input"]] * steps
    targets = meta["labels"] if isinstance(meta["labels"][0], list) else [meta["labels"]] * steps
    case.used.update(spec["key"] for spec in specs if "key" in spec)
    batches = [torch.from_numpy(recipe.inputs(meta, case.arrays, spec)) for spec in specs]
    rows = []
    for images, labels in zip(batches, targets, strict=True):
        losses = model(images, samples(labels), mode="loss")
        total, _ = model.parse_losses(losses)
        values = {name.replace("_", ""): value for name, value in losses.items()}  # 'ocm_s' is 'ocms' in the table
        values["sba"] = losses.get("loss_sba", 0) / meta["hyper"].get("alpha", 1)
        rows.append([float(total), *(float(values.get(name, 0)) for name in table.split("_"))])
        optim.update_params(total)
    case.close(f"loss_total_{table}", np.array(rows))
    after = {name: params[names[name]].detach() for name in meta["param_names"]}
    case.close("after_param_l2", torch.stack([p.norm() for p in after.values()]))
    case.close("param_change_l2", torch.stack([(p - start[name]).norm() for name, p in after.items()]))
    state = model.state_dict()
    for name in case.names("after/"):
        case.close(f"after/{name}", state[names[name]])
    model.eval()
    with torch.no_grad():
        feats = model.backbone(batches[0])
        case.close("after_logits", model.head(feats))
        maps = model.head.predict(feats).maps[:, 0]
    case.close("after_fused_pred", maps * (0.5 if meta["variant"] == "imnet" else 1.0))


def check_map_boxes(case: Case) -> None:
    for i, threshold in enumerate(case.meta["thresholds"]):
        rule = ContourBox(preset="cdtr", threshold=threshold)
        boxes = rule(case["maps"], (224, 224))
        np.testing.assert_array_equal(boxes, case["boxes"][:, i], err_msg=f"{threshold}")
        iou = [box_iou(box[None], gt[None], plus_one=False)[0, 0] for box, gt in zip(boxes, case["gt"], strict=True)]
        np.testing.assert_allclose(iou, case["iou"][:, i], rtol=0, atol=1e-12)
        constant = rule(np.full((1, *case["maps"].shape[1:]), 0.3), (224, 224))[0]
        assert constant.tolist() == case.meta.get("constant_map_official", [0, 0, 1, 1])


def check_frames(case: Case) -> None:
    for (x, y, w, h, width, height), expected in zip(case["source"], case["frame"], strict=True):
        moved = gt_to_frame(np.array([[x, y, x + w, y + h]]), (int(height), int(width)), (224, 224), "short")
        np.testing.assert_allclose(moved[0], expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_case(path):
    case = Case(path)
    names = case.arrays
    if any(name.startswith("loss_total_") for name in names):
        check_steps(case)
    elif "loss_total" in names:
        check_train(case, torch.float64, 1e-9)
    elif "tensors" in case.meta:
        check_eval(case, torch.float64, 1e-9, 0)
    elif "maps" in names:
        check_map_boxes(case)
    else:
        check_frames(case)
    case.all_used()


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_case_float32(path):
    case = Case(path)
    if "tensors" not in case.meta or any(name.startswith("loss_total_") for name in case.arrays):
        pytest.skip("no single forward pass in this case")
    if "loss_total" in case.arrays:
        check_train(case, torch.float32, FLOAT32)
    else:
        check_eval(case, torch.float32, FLOAT32, 1e-4)
