"""Several processes and one give the same numbers, though the sampler pads, or leaves a rank without samples."""

import json
import multiprocessing
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from loc_samples import random_samples
from mmengine.dataset import DefaultSampler

from mmwsol.evaluation import LocAccuracy, LocBaselines, MaxBoxAcc, PxAP

RULE = dict(type="mmwsol.ContourBox", preset="tscam")
SEARCH = dict(grid=[0.2, 0.4, 0.6], select_by="gt_known+top1", select_on="test")


@pytest.fixture(autouse=True)
def one_thread_in_opencv():
    """OpenCV's own threads do not survive a fork and can block the child; mmengine's Runner turns them off too."""
    number = cv2.getNumThreads()
    cv2.setNumThreads(0)
    yield
    cv2.setNumThreads(number)


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


def work(rank: int, ranks: int, folder: Path, number: int, round_up: bool) -> None:
    os.chdir(folder)  # ranks collect their results in a folder below
    torch.set_num_threads(1)
    init = dict(backend="gloo", init_method=f"file://{folder}/store", rank=rank, world_size=ranks)
    torch.distributed.init_process_group(**init)
    (folder / f"{rank}.json").write_text(json.dumps(evaluate(folder, number, round_up)))
    torch.distributed.destroy_process_group()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "number, round_up, shares",
    [
        (5, True, [3, 3]),  # 6 = 5 and the first again
        (5, False, [3, 2]),
        (7, True, [3, 3, 3]),
        (2, True, [1, 1, 1]),
        (2, False, [1, 1, 0]),
    ],
)
def test_ranks_equal_one_process(tmp_path, number, round_up, shares):
    rng = np.random.RandomState(0)
    for i in range(number):
        cv2.imwrite(str(tmp_path / f"{i}.jpg.png"), (rng.rand(30, 40) < 0.3).astype(np.uint8))
    one = evaluate(tmp_path, number, round_up)
    context = multiprocessing.get_context("fork")  # everything is imported already
    arguments = (len(shares), tmp_path, number, round_up)
    processes = [context.Process(target=work, args=(rank, *arguments)) for rank in range(len(shares))]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=120)
        if process.is_alive():
            process.kill()
    assert [process.exitcode for process in processes] == [0] * len(shares)
    ranks = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(len(shares))]
    assert one.pop("share") == number
    assert [rank.pop("share") for rank in ranks] == shares
    assert all(rank == one for rank in ranks)
    assert one["loc/max_box_acc_v2"] and one["seg/pxap"] and one["loc/iou_median_all"]
