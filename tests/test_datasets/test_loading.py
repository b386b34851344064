"""LoadImage and LoadMasks."""

from __future__ import annotations

import re

import cv2
import layouts
import numpy as np
import pytest
from mmcv.transforms import Compose
from PIL import Image

from mmwsol.datasets.transforms import LoadImage, UnreadableImageError
from mmwsol.registry import TRANSFORMS
from mmwsol.structures import Frame


def load(path, **kwargs):
    return LoadImage(**kwargs)(dict(img_path=str(path)))["img"]


def build(*steps):
    return Compose([TRANSFORMS.build(step) for step in steps])


def test_equals_pil(tmp_path):
    path = layouts.write_image(tmp_path / "a.jpg")
    item = dict(img_path=str(path), gt_bboxes_ori=np.array([[1, 2, 50, 12]], np.float32), strict_boxes=False)
    results = LoadImage()(item)
    rgb = np.asarray(Image.open(path).convert("RGB"))
    np.testing.assert_array_equal(results["img"], rgb[:, :, ::-1])
    assert results["img"].flags.c_contiguous
    assert results["ori_shape"] == results["img_shape"] == (30, 40)
    assert results["frame"] == Frame.identity((30, 40))
    assert results["gt_bboxes"].tolist() == [[1, 2, 40, 12]] and results["gt_bboxes"].dtype == np.float32
    assert results["gt_bboxes_ori"].tolist() == [[1, 2, 50, 12]]  # as listed


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "RGBA", "CMYK"])
def test_modes_become_three_channels(tmp_path, mode):
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)).convert(mode)
    image.save(path)
    expected = np.asarray(Image.open(path).convert("RGB"))[:, :, ::-1]
    np.testing.assert_array_equal(load(path), expected)
    assert load(path, imdecode_backend="cv2").shape == (30, 40, 3)


def test_16_bit_is_scaled_not_saturated(tmp_path):
    values = np.arange(30 * 40, dtype=np.uint16).reshape(30, 40) * 54
    Image.fromarray(values).save(tmp_path / "a.png")
    for backend in ("pillow", "cv2"):
        img = load(tmp_path / "a.png", imdecode_backend=backend)
        assert img.shape == (30, 40, 3) and img.dtype == np.uint8
        np.testing.assert_allclose(img[..., 0], values / 257, atol=1)


def test_exif_orientation_is_ignored_unless_asked_for(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    Image.new("RGB", (40, 30)).save(tmp_path / "a.jpg", exif=exif)
    for backend in ("pillow", "cv2"):
        assert load(tmp_path / "a.jpg", imdecode_backend=backend).shape == (30, 40, 3)
        turned = load(tmp_path / "a.jpg", imdecode_backend=backend, color_type="color")
        assert turned.shape == (40, 30, 3)


@pytest.mark.parametrize("backend", ["pillow", "cv2"])
@pytest.mark.parametrize("content", [b"", b"this is no image"])
def test_unreadable(tmp_path, content, backend):
    path = tmp_path / "bad.jpg"
    path.write_bytes(content)
    message = "is empty" if not content else "cannot be decoded"
    with pytest.raises(ValueError, match=re.escape(f"'{path}' {message}")) as error:
        load(path, imdecode_backend=backend)
    assert isinstance(error.value, UnreadableImageError)
    assert LoadImage(ignore_empty=True)(dict(img_path=str(path))) is None


def test_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing.jpg' does not exist: check data_root"):
        load(tmp_path / "nothing.jpg")
    with pytest.raises(FileNotFoundError):
        load(tmp_path)


def test_float_image_and_unknown_options(tmp_path):
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "f.tiff")
    with pytest.raises(UnreadableImageError, match="float pixels"):
        load(tmp_path / "f.tiff")
    with pytest.raises(ValueError, match="color_type must be one of"):
        LoadImage(color_type="grayscale")


def test_size_of_the_list_is_checked(tmp_path):
    path = layouts.write_image(tmp_path / "a.jpg")
    with pytest.raises(UnreadableImageError, match="is 40x30 but the list says 30x40.*color_type='color'"):
        LoadImage()(dict(img_path=str(path), ori_size=(30, 40)))
    assert LoadImage()(dict(img_path=str(path), ori_size=(40, 30)))["ori_shape"] == (30, 40)
    assert LoadImage(check_size=False)(dict(img_path=str(path), ori_size=(30, 40)))["ori_shape"] == (30, 40)


# ---- masks --------------------------------------------------------------------------------------


@pytest.fixture
def masked(tmp_path):
    """An image of 40x30, two instance masks and an ignore mask of another size, 61x47."""
    rng = np.random.default_rng(0)
    image = layouts.write_image(tmp_path / "a.png")
    paths = []
    for name in ("m0", "m1", "ignore"):
        mask = (rng.random((47, 61)) < 0.4).astype(np.uint8) * 255
        Image.fromarray(mask).convert("1").save(tmp_path / f"{name}.png")
        paths.append(str(tmp_path / f"{name}.png"))
    return dict(img_path=str(image), mask_paths=paths[:2], ignore_path=paths[2])


def reference(results, size):
    """wsolevaluation's rule for the whole image at ``size`` (W, H)."""

    def read(path):
        mask = cv2.imread(path, cv2.IMREAD_GRAYSCALE).astype(np.float32)
        return cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST) > 0.5

    foreground = np.logical_or(*(read(path) for path in results["mask_paths"]))
    return foreground, read(results["ignore_path"]) & ~foreground


@pytest.mark.parametrize("size", [(224, 224), (40, 30), (17, 23), (61, 47), (100, 7)])
def test_masks_of_the_whole_image_equal_wsolevaluation(masked, size):
    steps = build(dict(type="mmwsol.LoadImage"), dict(type="mmwsol.Resize", scale=size), dict(type="mmwsol.LoadMasks"))
    results = steps(dict(masked))
    foreground, ignore = reference(masked, size)
    assert 0.3 < foreground.mean() < 0.9 and ignore.any()
    np.testing.assert_array_equal(results["gt_masks"], foreground)
    np.testing.assert_array_equal(results["ignore_mask"], ignore)
    assert results["gt_masks"].dtype == bool


def test_masks_follow_crop_and_flip(masked):
    steps = build(
        dict(type="mmwsol.LoadImage"),
        dict(type="mmwsol.Resize", scale=(64, 48)),
        dict(type="mmwsol.CenterCrop", crop_size=(20, 30)),
        dict(type="mmwsol.RandomFlip", prob=1.0, direction="diagonal"),
        dict(type="mmwsol.LoadMasks"),
    )
    results = steps(dict(masked))
    foreground, ignore = reference(masked, (64, 48))
    np.testing.assert_array_equal(results["gt_masks"], foreground[9:39, 22:42][::-1, ::-1])
    np.testing.assert_array_equal(results["ignore_mask"], ignore[9:39, 22:42][::-1, ::-1])


def test_masks_are_background_in_the_padding(masked):
    steps = build(
        dict(type="mmwsol.LoadImage"),
        dict(type="mmwsol.RandomCrop", crop_size=(50, 60), padding=10),
        dict(type="mmwsol.LoadMasks"),
    )
    results = steps(dict(masked))
    foreground, _ = reference(masked, (40, 30))
    np.testing.assert_array_equal(results["gt_masks"][10:40, 10:50], foreground)
    assert results["gt_masks"].sum() == foreground.sum()


def test_masks_follow_a_random_resized_crop(tmp_path):
    """A rectangular mask stays where the box that encloses it goes, to a pixel."""
    rng = np.random.default_rng(1)
    image = layouts.write_image(tmp_path / "a.png", (120, 90))
    box = np.array([[30, 20, 90, 70]], np.float32)
    mask = np.zeros((90, 120), np.uint8)
    mask[20:70, 30:90] = 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    steps = build(
        dict(type="mmwsol.LoadImage"),
        dict(type="mmwsol.RandomResizedCrop", scale=(64, 80), crop_ratio_range=(0.3, 1.0)),
        dict(type="mmwsol.RandomFlip", prob=0.5),
        dict(type="mmwsol.LoadMasks"),
    )
    np.random.seed(int(rng.integers(100)))
    for _ in range(20):
        item = dict(img_path=str(image), mask_paths=[str(tmp_path / "m.png")], gt_bboxes_ori=box)
        results = steps(item)
        x0, y0, x1, y1 = results["frame"].boxes(box)[0]
        ys, xs = np.nonzero(results["gt_masks"])
        extent = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
        assert np.abs(np.subtract(extent, [x0, y0, x1, y1])).max() <= 1.5


def test_mask_errors(masked, tmp_path):
    steps = build(dict(type="mmwsol.LoadImage"), dict(type="mmwsol.LoadMasks"))
    assert "gt_masks" not in steps(dict(img_path=masked["img_path"]))
    with pytest.raises(FileNotFoundError, match="gone.png' does not exist"):
        steps(dict(masked, mask_paths=[str(tmp_path / "gone.png")]))
    (tmp_path / "m0.png").write_bytes(b"")
    with pytest.raises(ValueError, match="m0.png' is empty or cannot be decoded"):
        steps(dict(masked))
