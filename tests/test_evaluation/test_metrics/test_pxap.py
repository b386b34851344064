"""PxAP and pIoU as a metric: mask files, ignored pixels, pooling."""

import cv2
import numpy as np
import pytest
from loc_samples import make_sample, run

from mmwsol.evaluation.functional import evaluation_map, pixel_curves, pixel_histograms
from mmwsol.evaluation.metrics import PxAP
from mmwsol.registry import METRICS
from mmwsol.structures import Frame

SIZE = (32, 48)


def masked_samples(folder, n=5, seed=0, ignore=True):
    """Write n images' masks (1 to 3 instances, odd sizes) and make samples of 48x32 with noisy maps."""
    rng = np.random.RandomState(seed)
    samples = []
    for i in range(n):
        height, width = rng.randint(40, 90, 2)
        names = []
        for k in range(rng.randint(1, 4)):
            mask = np.zeros((height, width), np.uint8)
            y, x = rng.randint(0, 30, 2)
            mask[y : y + 17, x : x + 23] = 1 if k else 255  # any value above .5
            names.append(str(folder / f"{seed}_{i}_{k}.png"))
            cv2.imwrite(names[-1], mask)
        maps = rng.rand(1, 7, 9).astype(np.float32)
        sample = make_sample(f"{i}.jpg", [], maps=maps, ori_shape=(int(height), int(width)), img_shape=SIZE)
        sample["mask_paths"] = names
        if ignore and i % 2:
            sample["ignore_path"] = str(folder / f"{seed}_{i}_ignore.png")
            cv2.imwrite(sample["ignore_path"], (rng.rand(height, width) < 0.3).astype(np.uint8) * 255)
        samples.append(sample)
    return samples


def read(path):
    mask = cv2.imread(path, cv2.IMREAD_GRAYSCALE).astype(np.float32)
    return cv2.resize(mask, SIZE[::-1], interpolation=cv2.INTER_NEAREST) > 0.5


def by_hand(samples):
    total = 0
    for sample in samples:
        scores = evaluation_map(sample["pred_maps"]["maps"][0].numpy(), SIZE, interpolation="bicubic", dtype="float64")
        foreground = np.any([read(path) for path in sample["mask_paths"]], axis=0)
        ignore = read(sample["ignore_path"]) if "ignore_path" in sample else None
        total = total + pixel_histograms(scores, foreground, ignore)
    return total


def test_equals_pooled_histograms(tmp_path):
    samples = masked_samples(tmp_path)
    metric = METRICS.build(dict(type="mmwsol.PxAP"))
    values = run(metric, samples)
    histograms = by_hand(samples)
    assert values["seg/pxap"] == pytest.approx(pixel_curves(histograms)[1]["pxap"], abs=1e-9)
    assert values["seg/piou"] == pytest.approx(pixel_curves(histograms)[1]["piou"], abs=1e-9)
    best = metric.curve["iou"].argmax()
    assert metric.curve["threshold"][best] == values["seg/piou_threshold"]
    assert 100 * metric.curve["iou"][best] == values["seg/piou"]
    for sample in samples:
        path = sample.pop("ignore_path", None)
        if path:
            assert values["seg/pxap"] != run(PxAP(), samples)["seg/pxap"]
            sample["ignore_path"] = path
    assert metric.description["map_rule"]["interpolation"] == "bicubic"
    for options in (dict(num_threads=0), dict(num_threads=3), dict(cache_masks=False)):
        assert run(PxAP(**options), samples) == values


def test_masks_are_decoded_once(tmp_path):
    samples = masked_samples(tmp_path)
    metric = PxAP()
    values = run(metric, samples)
    for path in tmp_path.glob("*.png"):
        path.unlink()
    assert run(metric, samples) == values
    with pytest.raises(FileNotFoundError, match="image '0.jpg': mask '.*' does not exist"):
        run(PxAP(), samples)


def test_records_are_small(tmp_path):
    metric = PxAP()
    metric.process(None, masked_samples(tmp_path, 2))
    metric.pool.settle(metric.results)
    assert all(record[1].nbytes == 2 * 1002 * 2 for record in metric.results)  # 1536 pixels: 16 bits


def test_pooling_counts_pixels_not_images(tmp_path):
    samples = masked_samples(tmp_path)
    each = [run(PxAP(), [sample])["seg/pxap"] for sample in samples]
    assert run(PxAP(), samples)["seg/pxap"] != pytest.approx(np.mean(each), abs=1e-3)


def test_cropped_frames(tmp_path):
    """The mask is cropped as the image was."""
    mask = np.zeros((64, 64), np.uint8)
    mask[:, :24] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    maps = np.zeros((1, 8, 8), np.float32)
    maps[:, :, :2] = 1  # columns 0 to 7 of the crop of 32 from column 16 on
    frame = Frame.identity((64, 64)).cropped(16, 16, (32, 32))
    sample = make_sample("a", [], maps=maps, ori_shape=(64, 64), img_shape=(32, 32), frame=frame)
    sample["mask_paths"] = [str(tmp_path / "mask.png")]
    rule = dict(type="mmwsol.ContourBox", preset="tscam")
    assert run(PxAP(map_to_box=rule), [sample])["seg/piou"] == 100
    sample["frame"] = None  # a plain resize: column 12 of 32 is the edge
    assert run(PxAP(map_to_box=rule), [sample])["seg/piou"] < 90


def test_images_without_masks_or_foreground(tmp_path):
    samples = masked_samples(tmp_path)
    plain = make_sample("plain", [], maps=np.eye(4, dtype=np.float32)[None], img_shape=SIZE)
    assert run(PxAP(), [plain, *samples]) == run(PxAP(), samples)
    with pytest.raises(ValueError, match="none of 1 images has mask_paths"):
        run(PxAP(), [plain])
    cv2.imwrite(str(tmp_path / "empty.png"), np.zeros((20, 20), np.uint8))
    plain["mask_paths"] = [str(tmp_path / "empty.png")]
    with pytest.raises(ValueError, match="no foreground pixel in the whole set"):
        run(PxAP(), [plain])
    assert run(PxAP(), [plain, *samples]) != run(PxAP(), samples)  # its background counts


def test_bad_input(tmp_path):
    samples = masked_samples(tmp_path)
    with pytest.raises(ValueError, match="evaluated more than once"):
        run(PxAP(), samples * 2)
    samples = masked_samples(tmp_path)
    samples[1]["pred_maps"]["maps"][0, 0, 0] = np.nan
    with pytest.warns(UserWarning, match="NaN"):
        run(PxAP(), samples)  # wsolevaluation's rule: a map of zeros
    samples = masked_samples(tmp_path)
    samples[1]["pred_maps"]["maps"][0, 0, 0] = np.nan
    with pytest.raises(ValueError, match=r"image '1.jpg': .*NaN"):
        run(PxAP(map_to_box=dict(type="mmwsol.ContourBox", preset="tscam")), samples)
    with pytest.raises(ValueError, match="got 'all'"):
        PxAP(map_class="all")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    samples[0]["mask_paths"] = [str(tmp_path / "broken.png")]
    with pytest.raises(ValueError, match="image '0.jpg'.*broken.png"):
        run(PxAP(num_threads=0), samples)
