"""Comparisons of golden cases that hold maps, boxes and per-picture flags (TS-CAM's bookkeeping)."""

from __future__ import annotations

import numpy as np
import torch
from golden_case import PERCENT, Case

from mmwsol.datasets.transforms import Resize
from mmwsol.evaluation.functional import box_iou, gt_to_frame
from mmwsol.evaluation.metrics import LocAccuracy, MaxBoxAcc
from mmwsol.models.box_rules import ContourBox
from mmwsol.structures import Frame

IOU_BARS = (30, 50, 70)
ERRORS = {
    "cls": "err_cls",
    "multi_instance": "err_multi",
    "part": "err_part",
    "more": "err_more",
    "wrong": "err_wrong",
}


def frame_boxes(text: str) -> np.ndarray:
    """Read 'x0 y0 x1 y1 [x0 ...]'."""
    return np.array(text.split(), np.float32).reshape(-1, 4)


def samples_of(logits, maps, labels, gt_label, gt_boxes, size: int) -> list[dict]:
    """Make data samples whose original picture is the frame itself; maps (B, K, h, w) of labels (B, K)."""
    return [
        dict(
            img_id=str(i),
            gt_label=torch.tensor([gt_label[i]]),
            gt_bboxes_ori=frame_boxes(gt_boxes[i]),
            ori_shape=(size, size),
            img_shape=(size, size),
            frame=Frame.identity((size, size)),
            pred_score=torch.from_numpy(logits[i]),
            pred_maps=dict(maps=torch.from_numpy(maps[i]), labels=torch.from_numpy(labels[i])),
        )
        for i in range(len(logits))
    ]


def run(metric, samples: list[dict]) -> dict[str, float]:
    metric.process(None, samples)
    return metric.evaluate(len(samples))


def check_flags(case: Case, i: int, threshold: float, samples: list[dict]) -> None:
    """Compare the arrays ``eval<i>/*`` that are flags, picture by picture."""
    metric = LocAccuracy(
        # The boxes are in the frame already: 'wsol' keeps integers exactly, x / 224 * 224 does not.
        frame_rule="wsol",
        map_to_box=dict(type="mmwsol.ContourBox", preset="tscam"),
        threshold=threshold,
        errors=True,
    )
    ours: dict[str, list] = {}
    ious = []
    for sample in samples:
        metric.process(None, [sample])
        _, rank, iou, *_ = metric.results[-1]
        values = metric.evaluate(1)
        flags = {"cls_top1": rank < 1, "cls_top5": rank < 5, "gt_known": values["loc/gt_known"]}
        flags |= {f"loc_top{k}": values[f"loc/top{k}"] for k in (1, 5)}
        flags |= {name: values[f"loc_error/{error}"] for error, name in ERRORS.items()}
        flags["err_right"] = not any(flags[name] for name in ERRORS.values())
        for name, value in flags.items():
            ours.setdefault(name, []).append(int(bool(value)))
        ious.append(iou[0])
    for name, flags in ours.items():
        np.testing.assert_array_equal(flags, case[f"eval{i}/{name}"], err_msg=f"eval{i}/{name}")
    if "gt_iou_max" in case:
        np.testing.assert_allclose(ious, case["gt_iou_max"][i], atol=1e-12)


def check_evaluation(case: Case) -> None:
    """Compare the flags of a case that holds ``logits``, ``map_gt`` and ``map_top5``."""
    meta = case.meta
    maps = np.concatenate([case["map_top5"], case["map_gt"][:, None]], axis=1).astype(np.float32)
    gt_label = np.array(meta["labels"])
    labels = np.concatenate([case["top5"], gt_label[:, None]], axis=1)
    size = meta["arch"]["img_size"]
    samples = samples_of(case["logits"], maps, labels, gt_label, meta["gt_boxes"], size)
    for i, threshold in enumerate(meta["eval_thresholds"]):
        check_flags(case, i, threshold, samples)


def check_box_case(case: Case) -> None:
    """Compare a case without network: edge maps, boxes of given maps, flags, MaxBoxAcc of TRT."""
    check_edges(case)
    meta, cams, logits = case.meta, case["cams"], case["logits"]
    size, gt_label = meta["crop_size"], np.array(meta["labels"])
    classes = np.tile(np.arange(cams.shape[1]), (len(cams), 1))
    top5 = np.argsort(-logits, axis=1, kind="stable")[:, :5]
    np.testing.assert_array_equal(top5, case["top5"])
    # Maps and thresholds are given exactly, so that every box must be equal, whatever its margin.
    assert case["box_gt_margin"].shape + (5,) == case["box_top5_margin"].shape
    for i, threshold in enumerate(case["box_thr"].tolist()):
        rule = ContourBox(preset="tscam", threshold=threshold)
        for n, maps in enumerate(cams):
            boxes = rule(maps, (size, size))
            np.testing.assert_array_equal(boxes[top5[n]], case["box_top5"][i, n])
            np.testing.assert_array_equal(boxes[gt_label[n]], case["box_gt"][i, n])
    samples = samples_of(logits, cams, classes, gt_label, meta["gt_boxes"], size)
    for i, threshold in enumerate(meta["eval_thresholds"]):
        check_flags(case, i, threshold, samples)
        check_max_box_acc(case, f"eval{i}/maxboxacc_single_thr_first_gt", [threshold], samples)
    check_max_box_acc(case, "maxboxacc_sweep_first_gt", meta["sweep_thresholds"], samples)
    if "exact_half" in " ".join(meta.get("plan", [])):
        check_exact_half(case)


def check_exact_half(case: Case) -> None:
    """IoU of exactly .5: GT-known counts it, Top-k does not."""
    meta = case.meta
    for n, plan in enumerate(meta["plan"]):
        if "exact_half" not in plan:
            continue
        i = meta["eval_thresholds"].index(float(plan.split()[-1]))
        gt = frame_boxes(meta["gt_boxes"][n])
        assert box_iou(case["box_gt"][i, n], gt).max() == 0.5
        assert case[f"eval{i}/gt_known"][n] == 1 and case[f"eval{i}/loc_top5"][n] == 0


def check_edges(case: Case) -> None:
    """Compare boxes of maps that are already evaluated: single contour, all contours, clipped ones."""
    meta, maps = case.meta, case["edge_maps"]
    single = ContourBox(preset="tscam")
    clipped = ContourBox(preset="trt_v2")
    largest_clipped = ContourBox(preset="trt_v2", contour="largest")
    for n, name in enumerate(meta["edge_names"]):
        for i, threshold in enumerate(meta["edge_thresholds"]):
            label = f"{name} at {threshold}"
            box = single.boxes(maps[n], threshold)
            np.testing.assert_array_equal(box[0], case["edge_box"][n, i], err_msg=label)
            boxes = clipped.boxes(maps[n], threshold)
            assert sorted(boxes.tolist()) == sorted(meta["edge_candidates"][name][i]), label
            box = largest_clipped.boxes(maps[n], threshold)
            assert box.tolist() == meta["edge_candidates"][f"{name}/largest_clipped"][i], label


def check_max_box_acc(case: Case, name: str, thresholds: list, samples: list[dict]) -> None:
    """Compare box accuracies (3,) at IoU .3, .5, .7 of TRT's evaluator: all contours, first box only."""
    metric = MaxBoxAcc(
        map_to_box=dict(type="mmwsol.ContourBox", preset="trt_v2"),
        threshold=dict(grid=thresholds),
        gt_mode="first",
    )
    values = run(metric, samples)
    ours = [values[f"loc/max_box_acc_v2@{bar}"] for bar in IOU_BARS]
    np.testing.assert_allclose(ours, case[name], rtol=0, atol=PERCENT, err_msg=name)
    assert values["loc/max_box_acc_v2"] == np.mean(ours)


def check_dataset_case(case: Case) -> None:
    """Compare ground truth and input tensors of TS-CAM's test-time data sets."""
    meta = case.meta
    size = (meta["crop_size"], meta["crop_size"])
    resize = Resize(scale=meta["crop_size"])
    for i, (cub, ilsvrc) in enumerate(zip(meta["cub"], meta["ilsvrc"], strict=True)):
        image = case[f"image{i}"]
        x, y, w, h = map(float, cub["line"].split()[1:])
        listed = {
            cub["gt"]: np.array([[x, y, x + w, y + h]], np.float32),
            ilsvrc["gt"]: frame_boxes(ilsvrc["line"].split(maxsplit=2)[2]),
        }
        for text, boxes in listed.items():
            ours = gt_to_frame(boxes, image.shape[:2], size, "tscam")
            np.testing.assert_array_equal(ours, frame_boxes(text))
        results = dict(img=image[..., ::-1].copy(), img_shape=image.shape[:2], ori_shape=image.shape[:2])
        results["gt_bboxes"] = np.zeros((0, 4), np.float32)
        rgb = resize(results)["img"][..., ::-1] / 255.0
        tensor = (rgb - meta["mean"]) / meta["std"]
        case.close(f"tensor{i}", tensor.transpose(2, 0, 1))
