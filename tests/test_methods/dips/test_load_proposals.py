"""Proposals in the training pipeline: choice, mask in the network frame, missing images."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.dataset import Compose
from PIL import Image

from mmwsol.datasets.transforms import RandomCrop, RandomFlip, RandomResizedCrop, Resize
from mmwsol.methods.dips import DiPSHead, LoadProposals
from mmwsol.methods.dips.proposals import Proposals, box_mask
from mmwsol.structures import Frame


def results(height=60, width=80, name="a/b.jpg"):
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    size = (height, width)
    return dict(img=image, img_id=name, ori_shape=size, img_shape=size, frame=Frame.identity(size), gt_label=1)


def cache(folder, boxes, maps, name="a/b.jpg"):
    path = (folder / name).with_suffix(".npz")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(Proposals(boxes, maps, np.linspace(1, 0.5, len(boxes))).encode())
    (folder / "manifest.json").write_text(json.dumps(dict(version=1, complete=True)))  # that of a converter
    return str(folder)


def manifest(folder, **fields):
    (folder / "manifest.json").write_text(json.dumps(dict(version=1, complete=True, failed={}) | fields))


BOXES = [[10, 20, 50, 40], [0, 0, 79, 59], [5, 5, 9, 9]]


def test_box_masks():
    mask = box_mask(np.array([5, 7, 12, 15]), (20, 20), "cv2_outline")
    rows, columns = np.nonzero(mask)
    assert (columns.min(), rows.min(), columns.max(), rows.max()) == (4, 6, 13, 16)
    assert mask.sum() == 106 and box_mask(np.array([5, 7, 12, 15]), (20, 20)).sum() == 110
    assert box_mask(np.array([0, 0, 20, 20]), (20, 20)).sum() == 400
    assert not box_mask(np.zeros(4), (20, 20)).any()
    with pytest.raises(ValueError, match="raster must be one of"):
        box_mask(np.zeros(4), (2, 2), "circle")


def test_one_of_the_best_is_chosen(tmp_path):
    folder = cache(tmp_path, BOXES, [3, 0, 4])
    for top_k, expected in ((1, {3}), (0, {3}), (2, {0, 3}), (9, {0, 3, 4})):
        transform = LoadProposals(folder, top_k)
        assert {transform(results())["proposal_map"] for _ in range(40)} == expected
    np.random.seed(0)
    loaded = [LoadProposals(folder, 2)(results()) for _ in range(300)]
    assert 100 < sum(item["proposal_map"] for item in loaded) / 3 < 200
    for item in loaded[:10]:
        box = BOXES[[3, 0, 4].index(item["proposal_map"])]
        np.testing.assert_array_equal(item["proposal_mask"], box_mask(np.array(box), (60, 80)))
    np.testing.assert_array_equal(loaded[0]["raw_img"].permute(1, 2, 0), results()["img"][:, :, ::-1])


@pytest.mark.parametrize("flip", [0.0, 1.0])
@pytest.mark.parametrize("padding", [None, 8])
def test_mask_moves_with_the_image(tmp_path, flip, padding):
    """Equal to resizing, cropping and flipping an image of the mask."""
    folder = cache(tmp_path, BOXES[:1], [0])
    state = results()
    state["img"] = np.repeat(box_mask(np.array(BOXES[0]), (60, 80))[..., None].astype(np.uint8), 3, axis=2)
    for transform in (Resize((64, 64)), RandomCrop(48, padding=padding), RandomFlip(flip)):
        state = transform(state)
    state = LoadProposals(folder)(state)
    np.testing.assert_array_equal(state["proposal_mask"], state["img"][..., 0] > 0)
    assert state["proposal_mask"].any()


def test_mask_of_a_crop_that_is_resized(tmp_path):
    folder = cache(tmp_path, BOXES[:1], [0])
    for seed in range(5):
        np.random.seed(seed)
        state = results()
        state["img"] = np.repeat(255 * box_mask(np.array(BOXES[0]), (60, 80))[..., None].astype(np.uint8), 3, axis=2)
        state = RandomFlip(0.5)(RandomResizedCrop(64)(state))
        mask = LoadProposals(folder)(state)["proposal_mask"].numpy()
        assert (mask != (state["img"][..., 0] > 127)).mean() < 0.1  # to the nearest pixel of a larger image


def test_all_boxes_and_no_object(tmp_path):
    folder = cache(tmp_path, [*BOXES[::2], BOXES[1]], [0, 1, 2])
    state = LoadProposals(folder, top_k=2, all_boxes=True)(results())
    union = box_mask(np.array(BOXES[0]), (60, 80)) | box_mask(np.array(BOXES[2]), (60, 80))
    np.testing.assert_array_equal(state["all_proposals_mask"], union)
    folder = cache(tmp_path / "none", np.zeros((1, 4)), [0])
    assert not LoadProposals(folder)(results())["proposal_mask"].any()


@pytest.mark.parametrize("has_list", [True, False])
def test_missing_image_gives_background_with_one_warning(tmp_path, monkeypatch, has_list):
    warnings = []
    monkeypatch.setattr("mmwsol.datasets.offline_cache.print_log", lambda message, *_: warnings.append(message))
    folder = cache(tmp_path, BOXES, [0, 1, 2])
    if has_list:
        manifest(tmp_path, failed={"x.jpg": "damaged", "y.jpg": "damaged"})
    transform = LoadProposals(folder, all_boxes=True)
    for name in ("x.jpg", "y.jpg"):
        state = transform(results(name=name))
        assert not state["proposal_mask"].any() and not state["all_proposals_mask"].any()
    assert len(warnings) == 1 and "x.npz" in warnings[0]
    assert not LoadProposals("stage://proposals/cache")(results())["proposal_mask"].any()  # a dry run


def test_cache_of_other_images_is_refused(tmp_path):
    """An image that the manifest does not list as failed; without such a list, twenty in a row."""
    folder = cache(tmp_path, BOXES, [0, 1, 2])
    transform = LoadProposals(folder)
    for i in range(19):
        transform(results(name=f"train/{i}.jpg"))
    with pytest.raises(ValueError, match=r"none of 20 images .* 'a/b.npz'"):
        transform(results(name="train/19.jpg"))
    manifest(tmp_path)
    with pytest.raises(ValueError, match=r"image 'train/a/b.jpg' .* does not list it as failed.* 'a/b.npz'"):
        LoadProposals(folder)(results(name="train/a/b.jpg"))
    assert LoadProposals(folder)(results())["proposal_mask"].any()


@pytest.mark.parametrize("map_set", ["1_4_heads_and_mean", "all_heads_and_mean", None])
def test_proposals_of_other_maps_are_refused_before_training(tmp_path, map_set):
    folder = cache(tmp_path, BOXES, [0, 1, 2])
    manifest(tmp_path, params=dict(map_set=map_set) if map_set else {})
    head = DiPSHead(num_classes=2, in_channels=8)
    dataset = SimpleNamespace(pipeline=Compose([LoadProposals(folder)]))
    if map_set == "all_heads_and_mean":
        with pytest.raises(ValueError, match="'all_heads_and_mean', but head.map_set is '1_4_heads_and_mean'"):
            head.check_dataset(dataset)
    else:
        head.check_dataset(dataset)


def test_missing_cache_and_damaged_file(tmp_path):
    with pytest.raises(ValueError, match="there is no cache folder"):
        LoadProposals(str(tmp_path / "nowhere"))
    folder = cache(tmp_path, BOXES, [0, 1, 2])
    (tmp_path / "a/b.npz").write_bytes(b"PK damaged")
    with pytest.raises(ValueError, match="holds no proposals"):
        LoadProposals(folder)(results())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(boxes=[[50, 40, 10, 20]]), "a box ends before it begins"),
        (dict(boxes=[[0, 0, np.inf, 5]]), "a box is not finite"),
        (dict(boxes=[[0, 0, np.nan, 5]]), "a box is not finite"),
        (dict(boxes=[[0, 0, 5 + 1j, 5]]), "boxes holds values of type complex128"),
        (dict(boxes=[["0", "0", "5", "5"]]), "boxes holds values of type <U1"),
        (dict(boxes=[0.0, 0, 5, 5]), r"boxes is \(4,\), not \(K, 4\)"),
        (dict(boxes=5.0), r"boxes is \(\), not \(K, 4\)"),
        (dict(map_index=np.zeros(0, int)), r"map_index is \(0,\), for 1 boxes"),
        (dict(scores=[1.0, 2.0]), r"scores is \(2,\), for 1 boxes"),
        (dict(map_index=[-7]), "map_index is -7 to -7, not the number of a map"),
        (dict(map_index=[10**9]), "map_index is 1000000000 to 1000000000"),
        (dict(map_index=[0.5]), "map_index holds values of type float64"),
    ],
)
def test_proposals_that_are_none_are_refused(tmp_path, changes, message):
    folder = cache(tmp_path, BOXES[:1], [0])
    good = dict(boxes=np.array(BOXES[:1], float), map_index=np.array([0]), scores=np.ones(1), min_area_passed=True)
    np.savez(tmp_path / "a/b.npz", **good)
    assert LoadProposals(folder)(results())["proposal_mask"].any()
    np.savez(tmp_path / "a/b.npz", **{**good, **changes})
    with pytest.raises(ValueError, match=f"a/b.npz' holds no proposals .{message}"):
        LoadProposals(folder)(results())


def test_a_proposal_outside_its_image_is_of_another(tmp_path):
    folder = cache(tmp_path, [[500, 20, 520, 40]], [0])
    with pytest.raises(ValueError, match=r"\[500.0, 20.0, 520.0, 40.0\] .* lies outside its image of \(60, 80\)"):
        LoadProposals(folder)(results())
    assert not LoadProposals(cache(tmp_path, [[0.2, 0.3, 0.6, 0.9]], [0]))(results())["proposal_mask"].any()  # zeros


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (dict(failed=5), "is damaged .'failed' is 5"),
        (dict(params=[1]), r"is damaged .'params' is \[1\]"),
        (dict(complete="no"), "is damaged .'complete' is 'no'"),
        (dict(complete=False), "is not complete"),
        (None, "has no manifest.json: what made it did not finish"),
    ],
)
def test_cache_that_is_not_finished_or_damaged(tmp_path, fields, message):
    folder = cache(tmp_path, BOXES, [0, 1, 2])
    if fields is None:
        (tmp_path / "manifest.json").unlink()
    else:
        manifest(tmp_path, **fields)
    with pytest.raises(ValueError, match=message):
        LoadProposals(folder)


def test_packed_into_the_data_sample(tmp_path):
    folder = cache(tmp_path, BOXES[:1], [2])
    keys = ["proposal_mask", "proposal_map", "raw_img"]
    Image.fromarray(results()["img"]).save(tmp_path / "b.png")
    pipeline = [
        dict(type="mmwsol.LoadImage"),
        dict(type="mmwsol.LoadProposals", cache_dir=folder),
        dict(type="mmwsol.PackLocInputs", algorithm_keys=keys),
    ]
    packed = Compose(pipeline)(dict(img_path=str(tmp_path / "b.png"), img_id="a/b.jpg", gt_label=0))
    sample = packed["data_samples"]
    assert sample.proposal_mask.dtype == torch.bool and sample.proposal_map == 2
    assert torch.equal(sample.raw_img.flip(0), packed["inputs"])  # RGB and BGR
