"""Several processes and one give the same numbers, though the sampler pads, or leaves a rank without samples."""

import json
from pathlib import Path

import cv2
import numpy as np
from loc_samples import random_samples
from mmengine.dataset import DefaultSampler
from ranks import run_ranks

from mmwsol.evaluation.metrics import LocAccuracy, LocBaselines, MaxBoxAcc, PxAP

RULE = dict(type="mmwsol.ContourBox", preset="tscam")
SEARCH = dict(grid=[0.2, 0.4, 0.6], select_by="gt_known+top1", select_on="test")


def evaluate(folder: Path, number: int, round_up: bool) -> dict[str, float]:
    """Evaluate this rank's share of the samples with all metrics; two samples a batch."""
    samples = random_samples(number)
    for sample in samples:
        sample["mask_paths"] = [str(folder / f"{sample['img_id']}.png")]
    indices = list(DefaultSampler(samples, shuffle=False, round_up=round_up))
    values: dict[str, float] = {"share": len(indices)}
    for metric in (
        LocAccuracy(map_to_box=RULE, threshold=SEARCH, errors=True, iou_stats=True),
        LocAccuracy(map_to_box=RULE, threshold=SEARCH, errors=True, error_box="oracle", prefix="oracle"),
        MaxBoxAcc(),
        LocBaselines(),
        PxAP(),
    ):
        for i in range(0, len(indices), 2):
            metric.process(None, [samples[k] for k in indices[i : i + 2]])
        values |= metric.evaluate(len(samples))
    return values


def evaluate_cases(rank: int, folder: Path, cases: list) -> None:
    records = [evaluate(folder, number, round_up) for number, round_up, _ in cases]
    (folder / f"{rank}.json").write_text(json.dumps(records))


CASES = [
    (7, True, [3, 3, 3]),  # 9 = 7 and the first two again
    (5, True, [2, 2, 2]),
    (5, False, [2, 2, 1]),
    (2, True, [1, 1, 1]),
    (2, False, [1, 1, 0]),
]


def test_ranks_equal_one_process(tmp_path):
    rng = np.random.RandomState(0)
    for i in range(7):
        cv2.imwrite(str(tmp_path / f"{i}.jpg.png"), (rng.rand(30, 40) < 0.3).astype(np.uint8))
    run_ranks(evaluate_cases, 3, tmp_path, CASES)
    records = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(3)]
    for i, (number, round_up, shares) in enumerate(CASES):
        one = evaluate(tmp_path, number, round_up)
        assert one.pop("share") == number
        assert [record[i].pop("share") for record in records] == shares
        assert all(record[i] == one for record in records)
        assert one["loc/max_box_acc_v2"] and one["seg/pxap"] and one["loc/iou_median_all"]
