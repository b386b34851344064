"""Data samples as a model's ``predict`` leaves them, made by hand."""

import numpy as np
import torch
from mmengine.structures import InstanceData

from mmwsol.structures import Frame, LocDataSample


def make_sample(
    img_id: str,
    gt_boxes,
    boxes=None,
    maps=None,
    labels=(0,),
    gt_label: int = 0,
    scores=(0.6, 0.3, 0.1),
    ori_shape=(224, 224),
    img_shape=(224, 224),
    frame=None,
) -> dict:
    """Make a sample dict; boxes (K, 4) or maps (K, h, w) belong to ``labels``. Without ``frame``: a plain resize."""
    if frame is None:
        frame = Frame.identity(ori_shape).resized(img_shape)
    sample = LocDataSample(
        metainfo=dict(
            img_id=img_id,
            ori_shape=ori_shape,
            img_shape=img_shape,
            frame=frame,
            gt_bboxes_ori=np.array(gt_boxes, np.float32).reshape(-1, 4),
        )
    )
    sample.set_gt_label(gt_label).set_pred_score(torch.tensor(scores))
    labels = torch.tensor(labels)
    if boxes is not None:
        boxes = torch.tensor(boxes, dtype=torch.float64).reshape(-1, 4)
        sample.pred_instances = InstanceData(frame_bboxes=boxes, labels=labels)
    if maps is not None:
        sample.pred_maps = InstanceData(maps=torch.as_tensor(maps), labels=labels)
    return sample.to_dict()


def random_samples(n: int, seed: int = 0) -> list[dict]:
    """Make n samples of 40x30 pictures with 1 or 2 boxes, frame 32x32; noisy maps show the first box."""
    rng = np.random.RandomState(seed)
    samples = []
    for i in range(n):
        start = rng.randint(0, 12, (rng.randint(1, 3), 2))
        gt = np.concatenate([start, start + rng.randint(8, 18, start.shape)], axis=1)
        maps = rng.rand(2, 8, 8).astype(np.float32)
        x0, y0, x1, y1 = (gt[0] * 8 / [40, 30, 40, 30]).astype(int)
        maps[:, y0 : y1 + 1, x0 : x1 + 1] += rng.rand(2, 1, 1)
        scores = rng.permutation([0.5, 0.3, 0.2])
        samples.append(
            make_sample(
                f"{i}.jpg",
                gt,
                maps=maps,
                labels=(1, 2),
                gt_label=int(rng.randint(1, 3)),
                scores=scores,
                ori_shape=(30, 40),
                img_shape=(32, 32),
            )
        )
    return samples


def run(metric, samples: list[dict], batch: int = 2) -> dict[str, float]:
    for i in range(0, len(samples), batch):
        metric.process(None, samples[i : i + batch])
    return metric.evaluate(len(samples))
