"""Geometric and color transforms: pixels against PIL and torchvision, geometry against the pixels."""

from __future__ import annotations

import layouts
import mmcv.transforms
import numpy as np
import pytest
import torch
from mmcv.transforms.utils import cache_random_params
from PIL import Image
from torchvision import transforms as T
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F

from mmwsol.datasets.transforms import (
    CenterCrop,
    ColorJitter,
    LoadImage,
    RandomCrop,
    RandomFlip,
    RandomResizedCrop,
    Resize,
    ResizeEdge,
    TenCrop,
)
from mmwsol.datasets.transforms.carry import carry
from mmwsol.registry import TRANSFORMS
from mmwsol.structures import Frame

MODES = {"bilinear": InterpolationMode.BILINEAR, "bicubic": InterpolationMode.BICUBIC}


def picture(width=97, height=61, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def start(img, boxes=((10, 12, 50, 40), (0, 0, 97, 61))):
    results = dict(img=img, ori_shape=img.shape[:2], gt_bboxes_ori=np.array(boxes, np.float32).reshape(-1, 4))
    return carry(results, Frame.identity(img.shape))


def pil(img):
    return Image.fromarray(np.ascontiguousarray(img[:, :, ::-1]))


def bgr(image):
    return np.asarray(image)[:, :, ::-1]


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(224, 224), (40, 50), (256, 31)])
def test_resize_equals_pil_and_torchvision(size, interpolation):
    img = picture()
    out = Resize(size, interpolation=interpolation)(start(img))
    ours, mode = out["img"], MODES[interpolation]
    np.testing.assert_array_equal(ours, bgr(T.Resize(size[::-1], mode)(pil(img))))
    np.testing.assert_array_equal(ours, bgr(pil(img).resize(size, getattr(Image.Resampling, interpolation.upper()))))
    assert out["img_shape"] == size[::-1]
    assert out["frame"] == Frame((61, 97), size[::-1], (size[0] / 97, size[1] / 61))


@pytest.mark.parametrize("shape", [(97, 61), (61, 97), (50, 50), (333, 500)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_resize_edge_equals_torchvision(shape, interpolation):
    img = picture(*shape)
    out = ResizeEdge(64, interpolation=interpolation)(start(img))
    np.testing.assert_array_equal(out["img"], bgr(T.Resize(64, MODES[interpolation])(pil(img))))
    height, width = out["img"].shape[:2]
    assert out["frame"] == Frame(shape[::-1], (height, width), (width / shape[0], height / shape[1]))


@pytest.mark.parametrize("size", [(20, 30), (21, 31), (97, 61), (64, 60)])
def test_center_crop_equals_torchvision(size):
    img = picture()
    out = CenterCrop(size)(start(img))
    np.testing.assert_array_equal(out["img"], bgr(T.CenterCrop(size[::-1])(pil(img))))
    x, y = out["frame"].inverse().points([0, 0]).astype(int)
    np.testing.assert_array_equal(out["img"], img[y : y + size[1], x : x + size[0]])


def test_random_crop_equals_torchvision_at_its_place():
    img = picture()
    for seed in range(10):
        np.random.seed(seed)
        out = RandomCrop((30, 40), padding=(3, 5, 7, 9))(start(img))
        padded = F.pad(pil(img), [3, 5, 7, 9])
        left, top = (out["frame"].inverse().points([0, 0]) + (3, 5)).astype(int)
        np.testing.assert_array_equal(out["img"], bgr(F.crop(padded, top, left, 30, 40)))
    places = set()
    for seed in range(30):
        np.random.seed(seed)
        places.add(RandomCrop(60)(start(img))["frame"].shift)
    assert len(places) > 10  # the place is random


def test_random_crop_padding_forms_and_modes():
    img = picture()
    for padding, expected in ((4, (4, 4, 4, 4)), ((1, 2), (1, 2, 1, 2)), ((1, 2, 3, 4), (1, 2, 3, 4))):
        assert RandomCrop(8, padding=padding).padding == expected
    reflected = RandomCrop((67, 103), padding=3, padding_mode="reflect")(start(img))
    np.testing.assert_array_equal(reflected["img"], np.pad(img, ((3, 3), (3, 3), (0, 0)), "reflect"))
    grown = RandomCrop(100, pad_if_needed=True)(start(img))
    assert grown["img"].shape == (100, 100, 3) and grown["img_shape"] == (100, 100)


def test_random_resized_crop_equals_torchvision_at_its_place():
    img = picture()
    for seed in range(10):
        transform = RandomResizedCrop((32, 48), interpolation="bicubic")
        with cache_random_params(transform):
            np.random.seed(seed)
            out = transform(start(img))
            top, left, height, width = transform.rand_crop_params(img)
        box = (top, left, height, width, (32, 48), InterpolationMode.BICUBIC)
        np.testing.assert_array_equal(out["img"], bgr(F.resized_crop(pil(img), *box)))
        corners = out["frame"].points([[left, top], [left + width, top + height]])
        np.testing.assert_allclose(corners, [[0, 0], [48, 32]], atol=1e-9)


@pytest.mark.parametrize("direction", ["horizontal", "vertical", "diagonal"])
def test_flip(direction):
    img = picture()
    out = RandomFlip(1.0, direction)(start(img))
    flips = dict(horizontal=img[:, ::-1], vertical=img[::-1], diagonal=img[::-1, ::-1])
    np.testing.assert_array_equal(out["img"], flips[direction])
    expected = mmcv.transforms.RandomFlip(1.0, direction)(dict(img=img, gt_bboxes=start(img)["gt_bboxes"]))
    np.testing.assert_array_equal(out["gt_bboxes"], expected["gt_bboxes"])
    untouched = RandomFlip(0)(start(img))
    assert untouched["frame"] == Frame.identity(img.shape)


def test_resize_and_crop_boxes_equal_mmcv():
    img, boxes = picture(), start(picture())["gt_bboxes"]
    steps = [dict(type="Resize", scale=(256, 256)), dict(type="CenterCrop", crop_size=224)]
    ours, theirs = start(img), dict(img=img, gt_bboxes=boxes)
    for step in steps:
        ours = TRANSFORMS.build(dict(step, type=f"mmwsol.{step['type']}"))(ours)
        theirs = TRANSFORMS.build(dict(step, backend="pillow") if "scale" in step else step)(theirs)
    np.testing.assert_array_equal(ours["img"], theirs["img"])
    np.testing.assert_allclose(ours["gt_bboxes"], theirs["gt_bboxes"], atol=1e-4)


# ---- the frame ----------------------------------------------------------------------------------


def random_chain(rng):
    """Crops, pads and flips, which move pixels without changing them."""
    steps = []
    for _ in range(int(rng.integers(1, 6))):
        kind = int(rng.integers(4))
        if kind == 0:
            direction = str(rng.choice(["horizontal", "vertical", "diagonal"]))
            steps.append(RandomFlip(1.0, direction))
        elif kind == 1:
            size = tuple(int(v) for v in rng.integers(20, 90, 2))
            steps.append(RandomCrop(size, pad_if_needed=True, padding=int(rng.integers(1, 9))))
        elif kind == 2:
            steps.append(CenterCrop(tuple(int(v) for v in rng.integers(20, 80, 2)), auto_pad=True))
        else:
            return [*steps, TenCrop(int(rng.integers(12, 20)), view="center")]
    return steps


def expected_boxes(results):
    """The property: frame applied to the original corners, clipped."""
    height, width = results["img"].shape[:2]
    boxes = []
    for box in results["gt_bboxes_ori"].astype(float):
        x, y = np.sort(results["frame"].points(box.reshape(2, 2)), axis=0).T
        boxes.append([*np.clip([x[0]], 0, width), *np.clip([y[0]], 0, height)])
        boxes[-1] += [*np.clip([x[1]], 0, width), *np.clip([y[1]], 0, height)]
    return np.array(boxes, np.float32)


def test_frame_tells_where_every_pixel_came_from():
    """The picture holds its own coordinates, so the frame can be checked against the pixels."""
    width, height = 97, 61
    img = np.zeros((height, width, 3), np.uint8)
    img[..., 0], img[..., 1] = np.arange(width) + 1, np.arange(height)[:, None] + 1  # 0 is padding
    for seed in range(60):
        np.random.seed(seed)
        results = start(img)
        for step in random_chain(np.random.default_rng(seed)):
            results = step(results)
        out = results["img"]
        assert results["img_shape"] == results["frame"].shape == out.shape[:2]
        ys, xs = np.nonzero(out[..., 0])
        sources = results["frame"].inverse().points(np.stack([xs, ys], 1) + 0.5) - 0.5
        np.testing.assert_allclose(sources, out[ys, xs, :2].astype(int) - 1, atol=1e-9)
        for channel in range(2):  # a mask goes to the same pixels
            moved = results["frame"].masks(img[..., channel])
            np.testing.assert_array_equal(moved[ys, xs], out[ys, xs, channel])
        np.testing.assert_array_equal(results["gt_bboxes"], expected_boxes(results))


def test_boxes_follow_a_painted_object_through_resizes():
    """A white rectangle on black: its extent in the output is the box, to a pixel."""
    img = np.zeros((120, 160, 3), np.uint8)
    box = (40, 30, 120, 90)
    img[30:90, 40:120] = 255
    for seed in range(40):
        np.random.seed(seed)
        rng = np.random.default_rng(seed)
        steps = [
            Resize((int(rng.integers(100, 260)), int(rng.integers(100, 260)))),
            RandomFlip(0.5, ["horizontal", "vertical"]),
            ResizeEdge(int(rng.integers(90, 150)), interpolation="bicubic"),
            RandomCrop(88),
            RandomResizedCrop((100, 120), crop_ratio_range=(0.5, 1.0)),
            RandomFlip(0.5),
            CenterCrop((110, 90)),
        ]
        results = start(img, [box])
        for step in steps:
            results = step(results)
            np.testing.assert_allclose(results["gt_bboxes"], expected_boxes(results), atol=1e-4)
        ys, xs = np.nonzero(results["img"][..., 0] > 127)
        x0, y0, x1, y1 = results["gt_bboxes"][0]
        if len(xs) and min(x1 - x0, y1 - y0) > 4:
            extent = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
            assert np.abs(np.subtract(extent, [x0, y0, x1, y1])).max() <= 2.5


def test_boxes_outside_become_degenerate_and_stay():
    results = CenterCrop(20)(start(picture(), [(0, 0, 5, 5), (40, 20, 60, 50)]))
    assert results["gt_bboxes"].shape == (2, 4)
    assert results["gt_bboxes"][0].tolist() == [0, 0, 0, 0]


def test_no_boxes_and_no_ground_truth():
    results = RandomFlip(1.0)(Resize((20, 20))(start(picture(), [])))
    assert results["gt_bboxes"].shape == (0, 4)
    bare = RandomFlip(1.0)(Resize((20, 20))(dict(img=picture())))  # as an inferencer has it
    assert "gt_bboxes" not in bare
    assert bare["frame"] == Frame((61, 97), (20, 20), (-20 / 97, 20 / 61), (20.0, 0.0))


# ---- ten crops ----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(97, 61), (98, 60), (60, 60)])
def test_ten_crop_equals_torchvision(shape):
    img = picture(*shape)
    out = TenCrop((40, 35))(start(img))
    theirs = T.TenCrop((35, 40))(pil(img))
    assert len(out["crops"]) == len(theirs) == 10
    for ours, crop in zip(out["crops"], theirs, strict=True):
        np.testing.assert_array_equal(ours, bgr(crop))
    np.testing.assert_array_equal(out["img"], out["crops"][4])  # the fifth is the center view


def test_ten_crop_views_of_sat_and_tscam():
    img = picture(300, 280)
    crops = T.TenCrop(224)(T.Resize((256, 256))(pil(img)))
    sat = TenCrop(224)(Resize((256, 256))(start(img)))
    tscam = Resize((224, 224))(TenCrop(224, view="plain", resize=256)(start(img)))
    both = TenCrop(224, resize=(256, 256))(start(img))
    for results in (sat, tscam, both):
        np.testing.assert_array_equal(np.stack(results["crops"]), np.stack([bgr(crop) for crop in crops]))
    np.testing.assert_array_equal(tscam["img"], bgr(T.Resize((224, 224))(pil(img))))
    assert tscam["frame"] == Frame((280, 300), (224, 224), (224 / 300, 224 / 280))
    assert sat["frame"] == both["frame"] == Frame((280, 300), (224, 224), (256 / 300, 256 / 280), (-16.0, -16.0))


# ---- color --------------------------------------------------------------------------------------


@pytest.mark.parametrize("factors", [(0.4, 0, 0, 0), (0, 0.4, 0, 0), (0, 0, 0.4, 0), (0, 0, 0, 0.5), (0.4,) * 4])
def test_color_jitter_equals_torchvision(factors):
    img = picture()
    signs = set()
    for seed in range(12):
        transform = ColorJitter(*factors)
        with cache_random_params(transform):
            np.random.seed(seed)
            out = transform(start(img))["img"]
            order, *values = transform._rand_params()
        image = pil(img)
        for index in order:
            adjust = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)[index]
            image = image if values[index] is None else adjust(image, values[index])
        np.testing.assert_array_equal(out, bgr(image))
        assert out.flags.c_contiguous and not np.array_equal(out, img)
        signs.add(np.sign(values[3] or 0))
    assert not factors[3] or signs == {-1, 1}  # negative hue is what fails in mmcv on numpy 2


def test_color_jitter_leaves_geometry_alone():
    out = ColorJitter(hue=(-0.5, -0.1))(start(picture()))
    assert out["frame"] == Frame.identity((61, 97)) and out["gt_bboxes"][0].tolist() == [10, 12, 50, 40]


# ---- mistakes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (lambda: Resize((224,)), "scale must be a positive integer or two"),
        (lambda: Resize(0), "scale must be a positive integer"),
        (lambda: CenterCrop(-1), "crop_size must be"),
        (lambda: RandomCrop((1, 2, 3)), "crop_size must be"),
        (lambda: RandomCrop(8, padding=(1, 2, 3)), "padding must have 1, 2 or 4"),
        (lambda: TenCrop(view="centre"), "view must be 'center' or 'plain'"),
        (lambda: CenterCrop(224)(start(picture())), "224x224 does not fit an image of 97x61.*auto_pad"),
        (lambda: RandomCrop(224)(start(picture())), "224x224 does not fit an image of 97x61.*pad_if_needed"),
        (lambda: TenCrop(224)(start(picture())), "224x224 does not fit an image of 97x61.*resize"),
    ],
)
def test_mistakes(transform, message):
    with pytest.raises(ValueError, match=message):
        transform()


@pytest.mark.parametrize(
    "transform",
    [dict(type="Resize", scale=8), dict(type="ResizeEdge", scale=8), dict(type="RandomResizedCrop", scale=8)],
)
def test_float_images_need_the_other_backend(transform):
    settings = dict(transform, type=f"mmwsol.{transform['type']}")
    with pytest.raises(ValueError, match="resizes 8-bit images only, this one is float32: .*backend='cv2'"):
        TRANSFORMS.build(settings)(dict(img=np.zeros((20, 30, 3), np.float32)))
    results = dict(img=np.zeros((20, 30, 3), np.float32))
    assert TRANSFORMS.build(dict(settings, backend="cv2"))(results)["img"].dtype == np.float32


def test_configs_may_use_lists():
    for kind, size in (("Resize", "scale"), ("CenterCrop", "crop_size"), ("RandomCrop", "crop_size")):
        out = TRANSFORMS.build({"type": f"mmwsol.{kind}", size: [20, 20]})(start(picture()))
        assert out["img"].shape == (20, 20, 3)


def test_random_state_is_numpys():
    """Two runs from the same worker seed agree; nothing seeds on its own."""

    def run(seed):
        np.random.seed(seed)
        torch.manual_seed(0)
        results = start(picture())
        for step in (RandomResizedCrop(32), RandomFlip(0.5), ColorJitter(0.4, 0.4, 0.4, 0.1)):
            results = step(results)
        return results["img"]

    np.testing.assert_array_equal(run(1), run(1))
    assert not np.array_equal(run(1), run(2))


def test_repr_and_load_chain(tmp_path):
    path = layouts.write_image(tmp_path / "a.jpg")
    results = LoadImage()(dict(img_path=str(path), gt_bboxes_ori=np.array([[4, 3, 20, 15]], np.float32)))
    results = Resize((80, 90))(results)
    assert results["gt_bboxes"].tolist() == [[8, 9, 40, 45]]
    for step in (LoadImage(), Resize(8), ResizeEdge(8), CenterCrop(8), RandomCrop(8), RandomFlip(), TenCrop(8)):
        assert type(step).__name__ in repr(step)
