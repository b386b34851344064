"""DiPS equals the official implementation on every golden case: network, losses, labels, proposals, evaluation."""

from statistics import NormalDist

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from golden_case import FLOAT32, FLOAT32_GRADIENTS, PERCENT, Case, case_paths, recipe, without_largest

from mmwsol.evaluation.functional import (
    ERROR_TYPES,
    box_iou,
    gt_to_frame,
    localization_error,
    pixel_curves,
    pixel_histograms,
)
from mmwsol.evaluation.metrics import MaxBoxAcc
from mmwsol.evaluation.protocols import protocol_metrics
from mmwsol.methods.dips import DenseCRFLoss, PartialCrossEntropyLoss, ProposalWriter, SeedSampler
from mmwsol.methods.dips.attention_maps import (
    MAP_SETS,
    attention_stack,
    component_boxes,
    otsu_mask,
    otsu_threshold,
    upsample_maps,
)
from mmwsol.methods.dips.losses import IGNORE, CRFEnergy, exact_filter
from mmwsol.methods.dips.offline import gaussian_matrix, size_density
from mmwsol.methods.dips.proposals import box_mask
from mmwsol.models.box_rules import ContourBox
from mmwsol.registry import METRICS, MODELS
from mmwsol.structures import Frame
from mmwsol.utils import convert_official

PATHS = case_paths("dips")
ALL = 10**9  # more than there are pixels
SOURCES = {"dino": "dino", "decoder": "dips-decoder", "classifier": "dips-linear"}
ERRORS = ("cls", "multi_instance", "part", "more", "wrong")
LATTICE = 2e-5  # of the largest value; the official lattice computes in float32


# ---- network -----------------------------------------------------------------------------------


def build(meta: dict, dtype: torch.dtype) -> torch.nn.Module:
    arch = meta["arch"]
    dims = dict(embed_dims=arch["embed_dim"], num_layers=arch["depth"], num_heads=arch["num_heads"])
    number = meta["hyper"]["n_last_blocks"]
    backbone = dict(
        type="mmwsol.DiPSViT",
        arch=dict(dims, feedforward_channels=int(arch["embed_dim"] * arch["mlp_ratio"])),
        img_size=arch["img_size"],
        patch_size=arch["patch"],
        num_cls_tokens=number,
    )
    head = dict(
        type="mmwsol.DiPSHead",
        num_classes=meta["num_classes"],
        in_channels=arch["embed_dim"],
        num_cls_tokens=number,
        map_set=meta["hyper"].get("evaluation_type", "1_4_heads_and_mean"),
        loss_crf=dict(type="mmwsol.DenseCRFLoss"),
    )
    model = MODELS.build(dict(type="mmwsol.ImageLocalizer", backbone=backbone, head=head, frozen=["backbone.*"]))
    return model.to(dtype).eval()


def load(model: torch.nn.Module, case: Case) -> dict[str, str]:
    """Load official weights by the three conversions; return official name -> ours for the decoder."""
    state = {name: torch.from_numpy(np.asarray(value)) for name, value in case.state().items()}
    listed, names, ours = list(state), {}, {}
    for module, (start, stop) in case.meta["modules"].items():
        weights = {name: state[name] for name in listed[start:stop]}
        ours |= convert_official(weights, SOURCES[module])
        if module == "decoder":
            unused = case.meta["no_grad"]
            names = {name: next(iter(convert_official({name: weights[name]}, SOURCES[module]))) for name in weights
                     if name not in unused}  # fmt: skip
            assert not any(name.startswith("head.") for name in names)
    missing, unexpected = model.load_state_dict(ours, strict=False)
    assert not unexpected
    absent = () if "decoder" in case.meta["modules"] else ("head.decoder.",)
    assert all(name.startswith(("map_to_box.", *absent)) for name in missing), missing
    return names


def stat(x: torch.Tensor) -> torch.Tensor:
    return torch.stack([x.mean(), x.std(), x.min(), x.max()])


def check_network(case: Case, dtype: torch.dtype, tolerance: float) -> None:
    meta = case.meta
    model = build(meta, dtype)
    names = load(model, case)
    images = torch.from_numpy(case.inputs()).to(dtype)
    size = tuple(images.shape[2:])
    with torch.no_grad():
        feats = model.extract_feat(images)
        attention = feats.cls_attn.sum(1)  # of the one block that is tapped
        case.close("last_attn_cls", attention, tolerance)
        for name in case.names("stack_mean_std_min__"):
            assert name in MAP_SETS
            maps = upsample_maps(attention_stack(attention, name), size).flatten(2)
            ours = torch.stack([maps.mean(2), maps.std(2), maps.amin(2)], dim=2)
            case.close(f"stack_mean_std_min__{name}", ours, tolerance)
        stack = upsample_maps(model.head.attention_maps(feats), size)
        case.close("stack_stride7", stack[:, :, ::7, ::7], tolerance)
        case.close("patch_stat", stat(feats.patch_map), tolerance)
        case.close("patch_token_norm", feats.patch_map.flatten(2).norm(dim=1), tolerance)
        case.close("cls_concat", feats.cls_tokens.flatten(1), tolerance)
        case.close("cls_concat_stat", stat(feats.cls_tokens), tolerance)
        logits = model(images)
        case.close("logits", logits, tolerance)
        np.testing.assert_array_equal(logits.topk(case["top5"].shape[1]).indices, case["top5"])
        check_positions(case, model.backbone, images, tolerance)
        decoded = model.head.decoder(feats.patch_map)
        # The decoder's batch norms amplify the rounding of float32.
        loose = tolerance if dtype == torch.float64 else 5e-4
        case.close("decoder_eval_stride4", decoded[:, :, ::4, ::4], loose)
        case.close("decoder_eval_stat", stat(decoded), loose)
        prediction = model.head.predict(feats)
        torch.testing.assert_close(prediction.scores, logits.softmax(1))
        check_maps(case, prediction.maps, loose, exact=dtype == torch.float64)
        if dtype == torch.float64:
            check_labels(case, stack)
    check_losses(case, model, names, feats, loose)


def check_positions(case: Case, backbone, images: torch.Tensor, tolerance: float) -> None:
    zeros = torch.zeros_like(images)
    bias = backbone.patch_embed.projection.bias
    tokens, _ = backbone.embed(zeros)
    tokens[:, 1:] -= bias
    tokens[:, 0] -= backbone.cls_token[0, 0]
    ours = torch.stack([tokens[tuple(place)] for place in case.meta["pos_embed_pos"]])
    case.close("pos_embed_entries", ours, tolerance)
    case.close("pos_embed_stat", stat(tokens[0]), tolerance)


def check_maps(case: Case, maps: torch.Tensor, tolerance: float, exact: bool) -> None:
    case.close("fg_prob_stat", stat(maps), tolerance)
    size = tuple(maps.shape[2:])
    minmax, raw = ContourBox(preset="dips"), ContourBox(preset="dips_raw")
    scoremaps = np.stack([minmax.scoremap(m, size)[0] for m in maps])
    case.close("map_minmax_stride4", scoremaps[:, ::4, ::4], tolerance)
    shift, noise = case["boxes_stable_shift"], case["boxes_stable_noise"]
    stable = shift if exact else noise
    for n, scoremap in enumerate(scoremaps):
        probability = raw.scoremap(maps[n], size)[0]
        for t, tau in enumerate(case.meta["hyper"]["taus"]):
            if not stable[n, t]:
                continue
            np.testing.assert_array_equal(minmax.boxes(scoremap, tau)[0], case["boxes_single"][n, t])
            if exact:
                np.testing.assert_array_equal(raw.boxes(probability, tau)[0], case["boxes_raw_single"][n, t])
                every = ContourBox(preset="dips", contour="all").boxes(scoremap, tau)
                assert len(every) == case["multi_count"][n, t]


def regions_of(boxes: list, size: tuple[int, int]) -> torch.Tensor:
    """Make regions (B, H, W) bool; a box that is None is an empty region."""
    regions = torch.zeros(len(boxes), *size, dtype=torch.bool)
    for region, box in zip(regions, boxes, strict=True):
        x0, y0, x1, y1 = box or (0, 0, 0, 0)
        region[y0:y1, x0:x1] = True
    return regions


def as_official(labels: torch.Tensor) -> np.ndarray:
    """0 background, 1 foreground, 2 ignore."""
    return torch.where(labels == IGNORE, 2, labels).numpy()


def check_labels(case: Case, stack: torch.Tensor) -> None:
    meta = case.meta
    maps = stack[torch.arange(len(stack)), torch.tensor(meta["head_index"])]
    fractions = dict(fg_fraction=meta["sampler"]["p_fg"], bg_fraction=meta["sampler"]["p_bg"])
    labels = SeedSampler(ALL, ALL, **fractions)(maps, regions_of(meta["rois_xyxy_exclusive"], tuple(maps.shape[1:])))
    np.testing.assert_array_equal(as_official(labels), case["labels_all_eligible"])


def check_losses(case: Case, model, names: dict[str, str], feats, tolerance: float) -> None:
    """Compare losses and gradients with the running statistics of batch norm and with those of the batch."""
    meta, hyper = case.meta, case.meta["hyper"]
    head = model.head
    params = dict(model.named_parameters())
    labels = torch.from_numpy(case["labels_all_eligible"]).long()
    labels[labels == 2] = hyper["ignore_index"]
    raw = torch.from_numpy(case[meta["input"]["key"]]).permute(0, 3, 1, 2)
    crf = hyper["crf"]
    loss_crf = DenseCRFLoss(
        sigma_rgb=crf["sigma_rgb"], sigma_xy=crf["sigma_xy"], scale=crf["scale_factor"], loss_weight=crf["weight"]
    )
    loss_seed = PartialCrossEntropyLoss(hyper["lambda_seed"])
    for mode in ("eval", "train"):
        head.decoder.train(mode == "train")
        logits = head.decoder(feats.patch_map)
        losses = dict(ce=loss_seed(logits, labels), crf=loss_crf(logits, raw))
        losses["total"] = losses["ce"] + losses["crf"]  # the official code adds in place: the CRF is part of the loss
        chosen = [params[names[name]] for name in meta["gradnorm_names"]]
        # Each from its own loss: the difference of two float32 gradients would drown that of the CRF in rounding.
        grads = {name: torch.autograd.grad(losses[name], chosen, retain_graph=True) for name in ("ce", "crf")}
        grads["total"] = [ce + crf for ce, crf in zip(grads["ce"], grads["crf"], strict=True)]
        for name, loss in losses.items():
            allowed = max(tolerance, 0 if name == "ce" else LATTICE)
            close_relative(case, f"loss_{name}_{mode}", loss, allowed)
            norms = torch.stack([grad.norm() for grad in grads[name]])
            if logits.dtype == torch.float32:
                allowed = FLOAT32_GRADIENTS
            close_relative(case, f"gradnorm_{name}_{mode}", norms, allowed)
        if mode == "train":
            case.close("decoder_train_stride4", logits[:, :, ::4, ::4], max(tolerance, 1e-5))
            case.close("decoder_train_stat", stat(logits.detach()), max(tolerance, 1e-5))
            blocks = [head.decoder[0].conv1[1], head.decoder[1].conv2[1], head.decoder[3].conv2[1]]
            first, second, last = blocks
            stats = [first.running_mean, second.running_var, last.running_mean, last.running_var]
            case.close("bn_after_train", torch.stack([value.norm() for value in stats]), max(tolerance, 1e-5))


def close_relative(case: Case, name: str, ours: torch.Tensor, tolerance: float, rounding: float = 0) -> None:
    """Compare values that are small in themselves; ``rounding`` is allowed in addition, in absolute terms."""
    expected, ours = case[name], ours.detach().double().numpy()
    assert ours.shape == expected.shape
    error, allowed = np.abs(ours - expected).max(), max(tolerance, 1e-9) * np.abs(expected).max() + rounding
    assert error <= allowed, f"{name}: off by {error:.3g}, allowed {allowed:.3g}"


# ---- parts without network ---------------------------------------------------------------------


def check_otsu(case: Case) -> None:
    maps, meta = case["maps"], case.meta
    shape = maps.shape
    roi = np.unpackbits(case["roi"])[: maps.size].reshape(shape).astype(bool)
    for n, scoremap in enumerate(maps):
        raw, bumped, constant = case["otsu"][n]
        values = np.floor(255 * scoremap)
        assert (values.min() == values.max()) == bool(constant)
        assert otsu_threshold(values) == raw
        if not constant:
            assert min(max(otsu_threshold(values), 1), 254) == bumped
        mask = otsu_mask(scoremap)
        np.testing.assert_array_equal(mask, roi[n])
        assert mask.sum() == case["roi_area"][n]
        assert sorted(component_boxes(mask).tolist()) == meta["boxes_external"][n]
        assert sorted(component_boxes(mask, nested=True).tolist()) == meta["boxes_tree"][n]
    for values, threshold, constant in meta["hand_quantised"].values():
        assert otsu_threshold(np.array(values)) == threshold
        assert (min(values) == max(values)) == constant


def crf_logits(item: dict) -> torch.Tensor:
    size = item["size"]
    if item["prob"] == "logits":
        given = [
            recipe.blob_image(s, size, item["grid"], item["amp"], item["noise"], channels=2) for s in item["seeds"]
        ]
        logits = torch.from_numpy(np.stack(given).astype(np.float32))
        return logits.relu() if item.get("relu") else logits
    logits = torch.zeros(item["N"], 2, size, size)
    if item["prob"] == "box":
        logits[:, 0] = 12
        logits[:, 1, size // 4 : 3 * size // 4, size // 4 : 3 * size // 4] = 24
    elif item["prob"] == "allfg":
        logits[:, 1] = 20
    else:
        assert item["prob"] == "half", item["prob"]
    return logits


def check_crf(case: Case) -> None:
    for i, item in enumerate(case.meta["items"]):
        images = torch.from_numpy(case[f"images_{i}"]).permute(0, 3, 1, 2)
        given = crf_logits(item)
        if f"logits_check_{i}" in case:
            check = case[f"logits_check_{i}"]
            np.testing.assert_array_equal(given[:, :, : check.shape[2], : check.shape[3]], check)
        for dtype in (torch.float32, torch.float64):
            check_crf_item(case, i, item, given.to(dtype), images)
        if f"exact_WS_{i}" in case:
            exact = DenseCRFLoss("exact", scale=item["scale"], loss_weight=item["weight"])
            if item["scale"] == 1:  # of others it is not said which size it has
                filtered = exact.filter(given.double().softmax(1), images.double())
                case.close(f"exact_WS_{i}", filtered, 2e-6)
            close_relative(case, f"exact_loss_{i}", exact(given.double(), images), 1e-6)


def check_crf_item(case: Case, i: int, item: dict, logits: torch.Tensor, images: torch.Tensor) -> None:
    loss_crf = DenseCRFLoss(scale=item["scale"], loss_weight=item["weight"])
    stride = item["stride"]
    logits.requires_grad_()
    loss = loss_crf(logits, images)
    close_relative(case, f"loss_{i}", loss, LATTICE)
    close_relative(case, f"loss_recomputed_f64_{i}", loss, LATTICE)
    (grad_logits,) = torch.autograd.grad(loss, logits)
    # The gradient of the logits is that of the probabilities times S (1 - S), in float32: where S is nearly 0 or 1, all
    # that the official code has is the rounding of that product, and of a difference of equal numbers where S is 1/2.
    rounding = 2 * np.finfo(np.float32).eps
    largest, norm = np.abs(case[f"grad_S_{i}"]).max(), float(case[f"grad_S_norm_{i}"])
    close_relative(case, f"grad_Z_{i}", grad_logits[:, :, ::stride, ::stride], 1e-4, rounding * largest)
    close_relative(case, f"grad_Z_norm_{i}", grad_logits.norm(), 1e-4, rounding * norm)
    probs = logits.detach().softmax(1).requires_grad_()
    scaled, pictures = probs, images.to(logits.dtype)
    if item["scale"] != 1:
        scaled = F.interpolate(probs, scale_factor=item["scale"], mode="bilinear")
        pictures = F.interpolate(pictures, scale_factor=item["scale"], mode="nearest")
    filtered = loss_crf.filter(scaled, pictures)
    close_relative(case, f"WS_{i}", filtered[:, :, ::stride, ::stride], LATTICE)
    summary = torch.stack([filtered.sum(), filtered.mean(), filtered.std(), filtered.max()])
    close_relative(case, f"WS_sum_mean_std_max_{i}", summary, LATTICE)
    value = item["weight"] * CRFEnergy.apply(scaled, loss_crf, pictures)
    torch.testing.assert_close(value, loss, rtol=1e-5, atol=0)
    (grad_probs,) = torch.autograd.grad(value, probs)
    close_relative(case, f"grad_S_{i}", grad_probs[:, :, ::stride, ::stride], LATTICE)
    close_relative(case, f"grad_S_norm_{i}", grad_probs.norm(), LATTICE)


def check_sampler(case: Case) -> None:
    for i, item in enumerate(case.meta["items"]):
        maps = torch.from_numpy(case[f"map_{i}"])[None]
        size = tuple(maps.shape[1:])
        regions = regions_of([item["roi"]], size)
        assert regions.sum() == item["roi_area"]
        fractions = dict(fg_fraction=item["p_fg"], bg_fraction=item["p_bg"])
        everything = SeedSampler(ALL, ALL, kernel_size=1, **fractions)
        for draw, name in ((everything.draw_foreground, "fg"), (everything.draw_background, "bg")):
            eligible = np.unpackbits(case[f"{name}_eligible_{i}"])[: maps.numel()].reshape(size)
            drawn = draw(maps, regions)[0]
            np.testing.assert_array_equal(drawn, eligible)
            assert drawn.sum() == item[f"n_{name}"]
        for side in (1, 3):
            labels = SeedSampler(ALL, ALL, kernel_size=side, **fractions)(maps, regions)[0]
            np.testing.assert_array_equal(as_official(labels), case[f"labels_all_ksz{side}_{i}"])
        check_draws(case, i, item, maps, regions, fractions)


def check_draws(case: Case, i: int, item: dict, maps, regions, fractions: dict) -> None:
    """Compare how often each pixel is drawn; the reference is 400 draws."""
    torch.manual_seed(0)
    sampler = SeedSampler(item["max_fg"], item["max_bg"], **fractions)
    times = 400
    repeated = maps.expand(times, -1, -1), regions.expand(times, -1, -1)
    drawn = sampler.draw_foreground(*repeated)
    assert (drawn.flatten(1).sum(1) == item["drawn_fg"]).all()
    assert (sampler.draw_background(*repeated).flatten(1).sum(1) == item["drawn_bg"]).all()
    ours, theirs = drawn.double().mean(0).numpy(), case[f"fg_inclusion_frequency_{i}"].astype(np.float64)
    mean = (ours + theirs) / 2
    error = np.sqrt(2 * mean * (1 - mean) / times)
    inside = mean > 0
    # So many standard errors that of all these pixels none is farther away, with a probability of 0.9999: 4.9 for a
    # hundred pixels, 6.0 for 40,000.
    bound = -NormalDist().inv_cdf(0.0001 / 2 / max(1, inside.sum()))
    assert (np.abs(ours - theirs) <= bound * error + 1e-9).all()
    if mean.any():  # weighted: pixels of higher value are drawn more often, by the same slope
        values = maps[0].numpy()[inside]
        slopes = [np.polyfit(values, frequency[inside], 1)[0] for frequency in (ours, theirs)]
        assert slopes[0] == pytest.approx(slopes[1], rel=0.5)


def check_partial_ce(case: Case) -> None:
    for i, item in enumerate(case.meta["items"]):
        given = [
            recipe.blob_image(case.meta["seed"] + 10 * i + b, item["size"], 8, 2.0, 0.5, channels=2)
            for b in range(item["B"])
        ]
        logits = torch.from_numpy(np.stack(given))
        logits = (logits.clamp(min=0) if item.get("relu") else logits).requires_grad_()
        labels = torch.from_numpy(case[f"labels_{i}"]).long()
        labels[labels == 2] = IGNORE
        loss = PartialCrossEntropyLoss(item["lam"])(logits, labels)
        loss.backward()
        if np.isnan(case[f"loss_{i}"]):  # nothing is labelled: the official loss is no number
            assert loss == 0 and not logits.grad.any()
            continue
        case.close(f"loss_{i}", loss)
        stride = logits.shape[2] // case[f"grad_{i}"].shape[2]
        close_relative(case, f"grad_{i}", logits.grad[:, :, ::stride, ::stride], 1e-6)
        close_relative(case, f"grad_norm_{i}", logits.grad.norm(), 1e-7)


# ---- evaluation --------------------------------------------------------------------------------


def check_metrics(case: Case) -> None:
    meta = case.meta
    for item in meta["error_decisions"]:
        box, truth = np.array(item["pred"], np.float64), np.array(item["gts"], np.float64)
        iou = box_iou(box, truth)[0]
        assert iou.max() == pytest.approx(item["best_iou"], abs=1e-12) and iou.argmax() == item["best_gt"]
        error = localization_error(box, truth, item["pred_cls"] == item["label"])
        assert [int(error == name) for name in ERRORS] == item["cls_mins_part_more_wrong"]
    single, multi = ContourBox(preset="dips_raw"), ContourBox(preset="dips_raw", contour="all")
    for n, scoremap in enumerate(case["box_maps"]):
        for t, tau in enumerate(meta["box_taus"]):
            np.testing.assert_array_equal(single.boxes(scoremap, tau)[0], case["box_single"][n, t])
            assert sorted(multi.boxes(scoremap, tau).tolist()) == meta["box_multi"][n][t]
    check_box_accuracy(case)
    check_pxap(case)


def check_box_accuracy(case: Case) -> None:
    meta, size = case.meta, (case.meta["resize_length"],) * 2
    samples = []
    for i, (item, scoremap) in enumerate(zip(meta["images"], case["score_maps"], strict=True)):
        width, height = item["size_wh"]
        boxes = np.array(item["gt_xyxy"], np.float32)
        moved = gt_to_frame(boxes, (height, width), size, "wsol")
        np.testing.assert_array_equal(moved, meta["gt_resized"][f"i{i}.png"])
        scores = np.zeros(max(max(it["top5"] + [it["label"]]) for it in meta["images"]) + 1)
        scores[item["top5"]] = np.linspace(1, 0.5, len(item["top5"]))
        samples.append(
            dict(
                img_id=str(i),
                gt_label=torch.tensor([item["label"]]),
                gt_bboxes_ori=boxes,
                ori_shape=(height, width),
                img_shape=size,
                pred_score=torch.from_numpy(scores),
                pred_maps=dict(maps=torch.from_numpy(scoremap[None]), labels=torch.tensor([-1])),
            )
        )
    for key, expected in meta["max_box_acc"].items():
        all_contours, step = key.startswith("multi1"), float(key.split("step")[1])
        rule = dict(type="mmwsol.ContourBox", preset="dips_raw", contour="all" if all_contours else "largest")
        check_max_box_acc(case, key, expected, rule, step, samples)
        check_loc_accuracy(expected, rule, step, samples)


def check_max_box_acc(case: Case, key: str, expected: dict, rule: dict, step: float, samples: list[dict]) -> None:
    metric = MaxBoxAcc(map_to_box=rule, threshold=dict(grid=step), multi_contour=rule["contour"] == "all")
    metric.process(None, samples)
    values = metric.evaluate(len(samples))
    name = "max_box_acc_v2" if rule["contour"] == "all" else "max_box_acc"
    ours = [values[f"loc/{name}@{bar}"] for bar in (30, 50, 70)]
    np.testing.assert_allclose(ours, expected["max_box_acc"], rtol=0, atol=PERCENT)
    assert np.mean(ours) == pytest.approx(expected["v2_mean"], abs=PERCENT)
    curve = metric.curve["multi" if rule["contour"] == "all" else "single"] * len(samples) / 100
    np.testing.assert_allclose(curve, case[f"correct_{key}"], atol=1e-9)


def check_loc_accuracy(expected: dict, rule: dict, step: float, samples: list[dict]) -> None:
    """Compare Top-1 and Top-5 at three IoU bars, and the errors of the best box of each image."""
    for bar, top1, top5 in zip((0.3, 0.5, 0.7), expected["top1"], expected["top5"], strict=True):
        config = protocol_metrics("dips")[1]
        config.update(map_to_box=rule, iou_thr=bar)
        config["threshold"] = dict(config["threshold"], grid=step)
        metric = METRICS.build(config)
        flags = []
        for sample in samples:
            metric.process(None, [sample])
            codes = metric.results[-1][3]
            flags.append([int(code) for code in codes])
        values = metric.evaluate(len(samples))
        assert values["dips/top1"] == pytest.approx(top1, abs=PERCENT)
        assert values["dips/top5"] == pytest.approx(top5, abs=PERCENT)
        if bar == 0.5:
            wanted = np.array(expected["flags_cls_mins_part_more_wrong"])
            ours = np.array([[int(code[0] == ERROR_TYPES.index(name)) for code in flags] for name in ERRORS])
            np.testing.assert_array_equal(ours, wanted)


def check_pxap(case: Case) -> None:
    number = case.meta["resize_length"] ** 2
    masks, ignores = (np.unpackbits(case[name])[: len(case[name]) * 8] for name in ("gt_masks", "ignore_masks"))
    side = case.meta["resize_length"]
    count = len(masks) // number
    masks, ignores = (bits[: count * number].reshape(count, side, side).astype(bool) for bits in (masks, ignores))
    for key, expected in case.meta["pxap"].items():
        step = float(key.removeprefix("step"))  # coarser bins: scores cut to multiples of it
        score_maps = np.floor(case["score_maps"][:count] / step) * step if step > 0.001 else case["score_maps"][:count]
        histograms = [pixel_histograms(*image) for image in zip(score_maps, masks, ignores, strict=True)]
        assert pixel_curves(sum(histograms))[1]["pxap"] == pytest.approx(expected["pxap"], abs=1e-9)
        ours = [pixel_curves(histogram)[1]["pxap"] for histogram in histograms]
        np.testing.assert_allclose(ours, expected["per_image"], atol=1e-9)


# ---- proposals ---------------------------------------------------------------------------------


def check_proposals(case: Case) -> None:
    meta, hyper = case.meta, case.meta["hyper"]
    for mask, box, area in zip(case["raster40"], meta["raster_boxes"], meta["raster_areas"], strict=True):
        ours = box_mask(np.array(box), mask.shape, "cv2_outline")
        np.testing.assert_array_equal(ours, mask)
        assert ours.sum() == area
        filled = box_mask(np.array(box), mask.shape)
        assert not (ours & ~filled).any() and (filled & ~ours).sum() <= 4
    images = torch.from_numpy(case.inputs())
    rows, columns = (gaussian_matrix(side, hyper["blur_ksize"], hyper["blur_sigma"]) for side in images.shape[2:])
    blurred = (rows @ images @ columns.T)[0]
    case.close("blur_stride8", blurred[:, ::8, ::8])
    case.close("blur_stat", stat(blurred))
    model = build(meta, torch.float64)
    load(model, case)
    boxes = np.concatenate([np.array(found) for found in meta["candidates"]])
    index = np.repeat(np.arange(len(meta["candidates"])), [len(found) for found in meta["candidates"]])
    size = tuple(images.shape[2:])
    areas = np.array([box_mask(box, size, "cv2_outline").mean() for box in boxes])
    for key, expected in meta["result"].items():
        name = f"{float(key):g}"
        writer = ProposalWriter(
            float(key), hyper["blur_ksize"], hyper["blur_sigma"], raster="cv2_outline", batch_size=3
        )
        keep, passed = writer.filter_areas(areas)
        assert boxes[keep].tolist() == expected["kept_boxes"]
        assert index[keep].tolist() == expected["kept_map_index"]
        assert passed == expected["min_area_passed"]
        np.testing.assert_allclose(size_density(areas[keep]), expected["size_pdf"], rtol=1e-6)
        seen = []
        forward = model.forward
        model.forward = lambda pictures, forward=forward, seen=seen: seen.append(pictures) or forward(pictures)
        with torch.no_grad():
            (probs,) = writer.classify(model, images, [boxes[keep]])
        model.forward = forward
        pictures = torch.cat(seen).flatten(1)
        case.close(f"candidate_mean_min{name}", torch.stack([pictures.mean(1), pictures.std(1, correction=0)], dim=1))
        case.close(f"probs_min{name}", probs)
        for text in expected:
            if text.startswith("order_for_class_"):
                label = int(text.removeprefix("order_for_class_"))
                scores = writer.rank(probs[:, label], areas[keep])
                assert np.argsort(-scores, kind="stable").tolist() == expected[text]
                np.testing.assert_allclose(scores, expected[f"scores_class_{label}"], atol=1e-9)
    for item in meta["resize_bbox"]:
        height, width = item["hw"]
        frame = Frame.identity((height, width)).resized(size)
        np.testing.assert_allclose(frame.inverse().boxes(np.array(item["box"])), item["out"], rtol=1e-6)


PARTS = {
    "otsu": check_otsu,
    "crf": check_crf,
    "sampler": check_sampler,
    "partial_ce": check_partial_ce,
    "metrics": check_metrics,
    "proposals": check_proposals,
}


def kind(case: Case) -> str:
    """Tell what a case holds by its arrays: further files have names of their own."""
    marks = {
        "last_attn_cls": "core",
        "otsu": "otsu",
        "WS_0": "crf",
        "fg_eligible_0": "sampler",
        "labels_0": "partial_ce",
        "box_maps": "metrics",
        "raster40": "proposals",
    }
    return next(name for mark, name in marks.items() if mark in case)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_case(path):
    case = Case(path)
    if kind(case) == "core":
        check_network(case, torch.float64, 1e-9)
    else:
        PARTS[kind(case)](case)
    case.all_used()


@pytest.mark.parametrize("path", without_largest([p for p in PATHS if kind(Case(p)) == "core"], "core_tiny_448"))
def test_network_float32(path):
    check_network(Case(path), torch.float32, FLOAT32)


def test_there_are_cases():
    assert {kind(Case(path)) for path in PATHS} == {"core", *PARTS}


def test_exact_filter_is_the_kernel_matrix():
    features, values = torch.rand(2, 5, 40).double(), torch.rand(2, 3, 40).double()
    points = features.transpose(1, 2)
    kernel = torch.exp(-0.5 * (points[:, :, None] - points[:, None]).square().sum(-1))
    torch.testing.assert_close(exact_filter(features, values, chunk=7), values @ kernel)
