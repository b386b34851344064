"""The offline stage of DiPS: boxes of attention maps, ranked by a classifier (Murtaza et al., IVC 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.dataset import pseudo_collate
from mmengine.runner import Runner
from torch import Tensor, nn

from mmwsol.datasets.offline_cache import CacheWriter, OfflineCache, Panel
from mmwsol.evaluation.functional import box_iou
from mmwsol.methods.dips.attention_maps import component_boxes, otsu_mask, upsample_maps
from mmwsol.methods.dips.proposals import RASTERS, SUFFIX, Proposals, box_mask, read_proposals
from mmwsol.models.data_preprocessor import normalization
from mmwsol.models.initialization import keep_foreign_weights, split_pretrained
from mmwsol.models.timm_files import build_with_timm_files
from mmwsol.models.weights import load_classifier
from mmwsol.models.wrappers import unwrapped
from mmwsol.registry import TASK_UTILS

SCORES = ("class", "size", "size_and_class")
# Numbers K of proposals for the recall in the summary: the fraction of images whose best K hold one that has IoU 0.5
# with a ground-truth box.
RECALL_TOP_K = (1, 2, 5)


@TASK_UTILS.register_module()
class ProposalWriter(CacheWriter):
    """Find boxes in the attention maps of an image and rank them by how well their content shows the image's class.

    Each map of the head's ``map_set``, at the size of the image, is binarized by Otsu's threshold; every component
    gives a box. Boxes that cover more than ``min_area`` of the image stay; if there is none, the largest alone. The
    image is blurred outside each box, and the classifier's probability of the image's label is the box's score.

    Args:
        min_area: Fraction of the image: 0.75 on ILSVRC, 0.5 on CUB in the official runs; 0 is the paper's text.
            Defaults to 0.5.
        blur_kernel: Odd size of the Gaussian in pixels of the network's input. Defaults to 115.
        blur_sigma: Its standard deviation in pixels. Defaults to 100.5: almost a mean.
        scorer: Classifier of mmpretrain (``mmpretrain.ImageClassifier``,
            ``mmpretrain.TimmClassifier``, ...) whose classes are in the order of the data set. It sees the same pixels,
            normalized and in the order of channels (``to_rgb``) of its data preprocessor where that has a mean, else
            the network's input as it is; its weights are those of its ``init_cfg`` or ``pretrained``. Defaults to None:
            the head's linear layer.
        score: 'class', or the density of the box's area among the image's boxes: 'size', or the product of both,
            'size_and_class', which no official run uses. Defaults to 'class'.
        raster: See :func:`mmwsol.methods.dips.proposals.box_mask`. Defaults to 'filled'.
        background_class: Class of images without object; they get one box of zeros. Defaults to None:
            the head's.
        batch_size: Pictures that the classifier gets at once. Defaults to 64.

    Raises:
        ValueError: If an option is unknown or out of range, or the kernel is too large for the image; in :meth:`setup`,
            if ``background_class`` is not the head's.
    """

    suffix = SUFFIX
    titles = ("proposals", "map of the best one")

    def __init__(
        self,
        min_area: float = 0.5,
        blur_kernel: int = 115,
        blur_sigma: float = 100.5,
        scorer: dict | None = None,
        score: str = "class",
        raster: str = "filled",
        background_class: int | None = None,
        batch_size: int = 64,
    ) -> None:
        if not 0 <= min_area <= 1:
            raise ValueError(f"min_area must be a fraction of the image, 0 to 1, got {min_area}.")
        if blur_kernel < 1 or blur_kernel % 2 == 0 or blur_sigma <= 0:
            raise ValueError(f"blur_kernel must be odd and blur_sigma positive, got {blur_kernel} and {blur_sigma}.")
        for name, option, known in (("score", score, SCORES), ("raster", raster, RASTERS)):
            if option not in known:
                raise ValueError(f"{name} must be one of {known}, got {option!r}.")
        self.min_area = min_area
        self.blur_kernel, self.blur_sigma = blur_kernel, blur_sigma
        self.scorer_cfg = scorer
        self.score = score
        self.raster = raster
        self.background_class = background_class
        self.batch_size = batch_size
        self.scorer: Any = None

    def setup(self, runner: Runner) -> None:
        """Build the classifier, and take the class of images without object from the head."""
        self.model: Any = unwrapped(runner.model)
        of_head = self.model.head.background_class
        if self.background_class is None:
            self.background_class = of_head
        elif self.background_class != of_head:
            raise ValueError(
                f"background_class is {self.background_class} here and {of_head} in the head: leave it out here."
            )
        if self.scorer_cfg is None:
            return
        self.scorer = build_with_timm_files(self.scorer_cfg)
        keep_foreign_weights(self.scorer)  # timm has loaded them
        files = split_pretrained(self.scorer.init_cfg)[1]
        if not files:
            self.scorer.init_weights()
        for entry in files:
            load_classifier(self.scorer, entry["checkpoint"], entry.get("prefix"))
        self.scorer.to(next(self.model.parameters()).device).eval()

    def params(self) -> dict[str, Any]:
        """Return all settings that proposals depend on."""
        names = ("min_area", "blur_kernel", "blur_sigma", "score", "raster", "background_class")
        options = {name: getattr(self, name) for name in names}
        return dict(options, scorer=self.scorer_cfg or "head", map_set=self.model.head.map_set)

    def weights(self, model: nn.Module) -> Mapping[str, Tensor]:
        """Return the weights of backbone and classifier."""
        used = ("backbone.",) if self.scorer is not None else ("backbone.", "head.fc.")
        weights = {name: value for name, value in model.state_dict().items() if name.startswith(used)}
        if self.scorer is not None:
            weights |= {f"scorer.{name}": value for name, value in self.scorer.state_dict().items()}
        return weights

    def process(self, model: Any, batch: dict) -> list[Proposals]:
        """Find and rank the proposals of a batch."""
        data = model.data_preprocessor(batch)
        images, samples = data["inputs"], data["data_samples"]
        feats = model.extract_feat(images)
        maps = upsample_maps(model.head.attention_maps(feats), images.shape[2:]).cpu().numpy()
        candidates = [self.find_boxes(scoremaps) for scoremaps in maps]
        probabilities = self.classify(model, images, [boxes for boxes, _, _, _ in candidates])
        proposals = []
        for sample, (boxes, index, areas, passed), probs in zip(samples, candidates, probabilities, strict=True):
            label = int(sample.gt_label)
            if label == self.background_class:
                proposals.append(Proposals(np.zeros((1, 4)), np.zeros(1), np.zeros(1)))
                continue
            scores = self.rank(probs[:, label], areas)
            order = np.argsort(-scores, kind="stable")
            original = sample.frame.inverse().boxes(boxes[order])
            proposals.append(Proposals(original, index[order], scores[order], passed))
        return proposals

    def finish(self, job: Proposals) -> bytes:
        """Encode the proposals of an image."""
        return job.encode()

    def find_boxes(self, maps: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool]:
        """Find the boxes of maps (M, H, W) with values 0 to 1 that are large enough.

        Returns:
            Boxes (n, 4), map (n,) and area (n,) as a fraction of the image of each, and whether any was large enough.
        """
        per_map = [component_boxes(otsu_mask(scoremap)) for scoremap in maps]
        boxes = np.concatenate(per_map)
        index = np.repeat(np.arange(len(per_map)), [len(map_boxes) for map_boxes in per_map])
        height, width = maps.shape[1:]
        boxes[:, 2] = boxes[:, 2].clip(max=width - 1)
        boxes[:, 3] = boxes[:, 3].clip(max=height - 1)
        areas = np.array([box_mask(box, (height, width), self.raster).mean() for box in boxes])
        keep, passed = self.filter_areas(areas)
        return boxes[keep], index[keep], areas[keep], passed

    def filter_areas(self, areas: np.ndarray) -> tuple[np.ndarray, bool]:
        """Return the places of the boxes that are large enough, or of the largest, and whether any is."""
        keep = np.flatnonzero(areas > self.min_area)
        if len(keep) or not len(areas):
            return keep, bool(len(keep))
        return np.array([areas.argmax()]), False

    def classify(self, model: Any, images: Tensor, boxes: list[np.ndarray]) -> list[np.ndarray]:
        """Compute the class probabilities (n, C) of the boxes (n, 4) of every image, all else blurred."""
        size = (images.shape[2], images.shape[3])
        rows, columns = (gaussian_matrix(side, self.blur_kernel, self.blur_sigma).to(images) for side in size)
        owner = [i for i, image_boxes in enumerate(boxes) for _ in image_boxes]
        masks = [box_mask(box, size, self.raster) for image_boxes in boxes for box in image_boxes]
        blurred = rows @ images @ columns.T
        parts = []
        for start in range(0, len(masks), self.batch_size):
            chosen = owner[start : start + self.batch_size]
            inside = torch.from_numpy(np.stack(masks[start : start + self.batch_size])).to(images.device)[:, None]
            pictures = torch.where(inside, images[chosen], blurred[chosen])
            parts.append(self._logits(model, pictures).softmax(dim=1).double().cpu().numpy())
        probs = np.concatenate(parts) if parts else np.zeros((0, model.head.num_classes))
        return np.split(probs, np.cumsum([len(image_boxes) for image_boxes in boxes])[:-1])

    def _logits(self, model: Any, pictures: Tensor) -> Tensor:
        if self.scorer is None:
            return model(pictures)
        ours, theirs = normalization(model.data_preprocessor), normalization(self.scorer.data_preprocessor)
        if theirs.has_mean:
            pictures = pictures * _per_channel(ours.std, pictures) + _per_channel(ours.mean, pictures)
            if theirs.to_rgb != ours.to_rgb:
                pictures = pictures.flip(1)
            pictures = (pictures - _per_channel(theirs.mean, pictures)) / _per_channel(theirs.std, pictures)
        return self.scorer(pictures)

    def rank(self, probs: np.ndarray, areas: np.ndarray) -> np.ndarray:
        """Compute the scores (n,) of boxes from class probabilities (n,) and areas (n,)."""
        if self.score == "class":
            return probs
        density = np.nan_to_num(size_density(areas), nan=1.0)
        return density if self.score == "size" else density * probs

    def summarize(self, cache: OfflineCache) -> dict[str, Any]:
        """Return statistics, among them the recall of ground-truth boxes."""
        items = cache.items
        read = {i: read_proposals(cache.path(i)) for i in range(len(items)) if cache.path(i).is_file()}
        summary: dict[str, Any] = dict(
            proposals_per_image=float(np.mean([len(p.boxes) for p in read.values()])),
            min_area_passed=float(np.mean([p.min_area_passed for p in read.values()])),
        )
        ious = []
        for i, proposals in read.items():
            truth = items.dataset.get_data_info(items.indices[i]).get("gt_bboxes_ori", ())
            if len(truth) and len(proposals.boxes):
                ious.append(box_iou(proposals.boxes, np.asarray(truth, np.float64), True).max(axis=1))
        if ious:
            for k in RECALL_TOP_K:
                summary[f"recall_at_{k}"] = float(np.mean([iou[:k].max() >= 0.5 for iou in ious]))
            summary["recall_of_all"] = float(np.mean([iou.max() >= 0.5 for iou in ious]))
        return summary

    def panels(self, data: dict, file: Path) -> list[Panel]:
        """Show an image with its best proposals and the ground truth, and the map that the best one came from."""
        proposals = read_proposals(file)
        batch = self.model.data_preprocessor(pseudo_collate([data]))
        (sample,), image = batch["data_samples"], np.ascontiguousarray(data["inputs"].permute(1, 2, 0).numpy())
        index = int(proposals.map_index[0]) if len(proposals.boxes) else 0
        maps = self.model.head.attention_maps(self.model.extract_feat(batch["inputs"]))[:, index, None]
        truth, best = (
            sample.frame.boxes(np.asarray(boxes, np.float64).reshape(-1, 4))
            for boxes in (sample.get("gt_bboxes_ori", ()), proposals.boxes[: max(RECALL_TOP_K)])
        )
        scoremap = upsample_maps(maps, image.shape[:2])[0, 0].cpu().numpy()
        return [Panel(image, gt_bboxes=truth, bboxes=best), Panel(image, scoremap)]


def _per_channel(values: Tensor, pictures: Tensor) -> Tensor:
    """Bring values (3,) into the form and type of pictures (n, 3, H, W): (3, 1, 1)."""
    return values.to(pictures)[:, None, None]


def gaussian_matrix(size: int, kernel: int, sigma: float) -> Tensor:
    """Return the matrix (size, size) float64 that blurs a line of pixels, reflected at its ends.

    Raises:
        ValueError: If the kernel is too large for that.
    """
    if kernel // 2 >= size:
        raise ValueError(f"blur_kernel={kernel} needs images of more than {kernel // 2} pixels, got {size}.")
    offset = torch.arange(kernel, dtype=torch.float32) - kernel // 2  # rounded as in the official code
    weights = torch.exp(-(offset**2) / (2 * sigma**2))
    weights = (weights / weights.sum()).double()
    padded = F.pad(torch.eye(size, dtype=torch.float64)[None], (kernel // 2,) * 2, mode="reflect")
    return F.conv1d(padded.transpose(0, 1), weights[None, None])[:, 0].T


def size_density(areas: np.ndarray) -> np.ndarray:
    """Return the density of areas (n,) in the normal distribution with their own mean and variance; NaN for one."""
    if len(areas) < 2:
        return np.full(len(areas), np.nan)
    mean, std = areas.mean(), areas.std()
    return np.exp(-((areas - mean) ** 2) / (2 * std**2)) / (std * np.sqrt(2 * np.pi))
