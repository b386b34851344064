"""The visualizer: maps in original pixels, pictures, and what reaches files and backends."""

from __future__ import annotations

import re
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import VISBACKENDS, VISUALIZERS
from mmengine.structures import InstanceData
from mmengine.visualization import BaseVisBackend
from PIL import Image

from mmwsol.engine import LocVisualizationHook
from mmwsol.models.box_rules import ComponentBox, ContourBox
from mmwsol.structures import Frame, LocDataSample
from mmwsol.visualization import LocVisualizer, draw_sheet, score_map, shown_map, write_picture
from mmwsol.visualization.draw import GT_COLOR, PRED_COLOR

RULE = ContourBox(0.2, preset="tscam")


@VISBACKENDS.register_module(force=True)
class MemoryVisBackend(BaseVisBackend):
    """Keep pictures."""

    def __init__(self, save_dir=None):
        super().__init__(save_dir or "")
        self.pictures = []

    @property
    def experiment(self):
        return self

    def _init_env(self):
        pass

    def add_config(self, config, **kwargs):
        pass

    add_graph = add_scalar = add_scalars = add_config

    def add_image(self, name, image, step=0, **kwargs):
        self.pictures.append((name, image, step))


def sample(rule=RULE):
    """Original 40 x 20 (W x H), network frame 20 x 20; the maps of classes 1 and 0 are hot on one side each."""
    maps = torch.zeros(2, 4, 4)
    maps[0, :, 2:] = 0.02
    maps[1, :, :2] = 0.04
    meta = dict(
        img_id="a/1.jpg",
        sample_idx=1,
        ori_shape=(20, 40),
        img_shape=(20, 20),
        frame=Frame.identity((20, 40)).resized((20, 20)),
        gt_bboxes_ori=np.array([[20, 0, 40, 16]], np.float32),
    )
    made = LocDataSample(metainfo=meta).set_gt_label(0).set_pred_label(1)
    made.set_pred_score(torch.tensor([0.3, 0.6, 0.1]))
    made.pred_maps = InstanceData(maps=maps, labels=torch.tensor([1, 0]))
    boxes = torch.tensor([[20.0, 0, 40, 20], [0, 0, 20, 20]])
    made.pred_instances = InstanceData(bboxes=boxes, labels=torch.tensor([1, 0]), scores=torch.tensor([0.6, 0.3]))
    if rule is not None:
        made.set_metainfo(dict(box_rule=dict(rule.rule, threshold=0.2)))
    return made


def test_shown_map():
    made = sample()
    assert shown_map(made) == (0, 1)
    assert shown_map(made, "gt") == (1, 0)
    made.pred_maps.labels[:] = -1
    assert shown_map(made, "gt") == (0, 0)


@pytest.mark.parametrize(("labels", "caption"), [((1, 0), "map: one"), ((-1, -1), None)])
def test_caption_names_what_the_model_predicted(monkeypatch, labels, caption):
    """Also where the map and box shown are those of the ground-truth class."""
    given = {}
    monkeypatch.setattr(
        "mmwsol.visualization.loc_visualizer.draw_prediction",
        lambda *args: given.update(pred=args[5], score=args[6], shown=args[9]) or np.zeros((1, 1, 3), np.uint8),
    )
    wrong = sample()
    wrong.pred_maps.labels = torch.tensor(labels)
    wrong.set_gt_label(1).set_pred_label(2).set_pred_score(torch.tensor([0.0, 0.02, 0.95]))
    LocVisualizer(target="gt").draw(np.zeros((20, 40, 3), np.uint8), wrong, classes=("zero", "one", "two"))
    assert given == dict(pred="two", score=pytest.approx(0.95), shown="one" if caption else None)


@pytest.mark.parametrize("rule", [RULE, ContourBox(0.2, preset="wsol"), ComponentBox(0.2), None])
def test_score_map_is_that_of_the_box_rule(rule):
    made = sample(rule)
    made_map, limits = score_map(made, 1)
    assert made_map.shape == (20, 40) and made_map.dtype == np.float32 and limits == pytest.approx((0, 0.04))
    assert made_map[10, 5] > 0.9 and made_map[10, 35] < 0.1  # bicubic overshoots
    if rule is not None:
        frame_map = rule.scoremap(made.pred_maps.maps[1:], (20, 20))[0]
        expected = cv2.resize(frame_map.astype(np.float32), (40, 20), interpolation=cv2.INTER_LINEAR)
        assert np.abs(made_map - expected)[:, 2:-2].max() < 1e-5


def test_map_range_shows_absolute_values():
    weak, strong = (score_map(sample(), index, map_range=(0, 0.04))[0].max() for index in (0, 1))
    assert (weak, strong) == pytest.approx((0.5, 1.0))
    assert score_map(sample(), 0)[0].max() == pytest.approx(1.0)  # each map by itself: as strong as the other


def test_picture():
    image = np.full((20, 40, 3), (0, 255, 0), np.uint8)
    visualizer = LocVisualizer(panels=["image", "map", "overlay"])
    picture = visualizer.draw(image, sample(), "abc")
    assert picture.shape == (22 + 240, 3 * 480, 3)
    panels = [picture[22:, i * 480 : (i + 1) * 480] for i in range(3)]
    cold, hot = (100, 100), (100, 400)
    assert panels[0][hot].tolist() == [0, 255, 0]
    assert panels[1][cold][2] > 100 > panels[1][cold][0]  # RGB: blue where the map is low
    assert panels[1][hot][0] > 100 > panels[1][hot][2]
    assert panels[2][hot][1] > 100  # the image shines through
    for panel in panels:
        for color in (GT_COLOR, PRED_COLOR):
            assert (panel == color[::-1]).all(-1).any()
    other = visualizer.draw(image, sample(), "abc", target="gt")
    assert (other[:22] != picture[:22]).any() and (other[22:] != picture[22:]).any()
    without = visualizer.draw(image, sample(), "abc", draw_gt=False)
    assert not (without == GT_COLOR[::-1]).all(-1).any()
    large = np.zeros((2000, 3000, 3), np.uint8)
    made = sample()
    made.set_metainfo(dict(ori_shape=(2000, 3000), frame=Frame.identity((2000, 3000)).resized((20, 20))))
    assert LocVisualizer().draw(large, made).shape == (22 + 720, 2 * 1080, 3)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (dict(panels=["photo"]), r"panels may have .*, got \('photo',\)"),
        (dict(target="best"), "'pred' or 'gt', got 'best'"),
        (dict(map_range=(1, 1)), r"a smaller and a larger value, got \(1, 1\)"),
    ],
)
def test_options(options, text):
    with pytest.raises(ValueError, match=text):
        LocVisualizer(**options)


def test_backends_files_and_windows(tmp_path, monkeypatch):
    backends = [dict(type="LocalVisBackend"), dict(type="MemoryVisBackend")]
    cfg = dict(type="mmwsol.LocVisualizer", name="one", vis_backends=backends, save_dir=str(tmp_path))
    visualizer = VISUALIZERS.build(cfg)
    image = np.full((20, 40, 3), (250, 0, 0), np.uint8)
    visualizer.add_datasample("bird", image, sample(), step=3)
    [(name, picture, step)] = visualizer.get_backend("MemoryVisBackend").pictures
    assert (name, step) == ("bird", 3) and (picture == visualizer.draw(image, sample())).all()
    stored = cv2.imread(str(tmp_path / "vis_data/vis_image/bird_3.png"))
    assert (stored[:, :, ::-1] == picture).all()

    visualizer.add_datasample("bird", image, sample(), draw_pred=False, out_file=str(tmp_path / "new/a.png"))
    assert (cv2.imread(str(tmp_path / "new/a.png")) == image[:, :, ::-1]).all()
    assert len(visualizer.get_backend("MemoryVisBackend").pictures) == 1  # a file instead
    shown = []
    monkeypatch.setattr(LocVisualizer, "show", lambda self, image, win_name, wait_time: shown.append(win_name))
    visualizer.add_datasample("window", image, sample(), show=True)
    assert shown == ["window"]
    with pytest.raises(OSError, match="cannot write '.*a.nothing'"):
        write_picture(tmp_path / "a.nothing", image)


@pytest.mark.parametrize("own", [True, False])
def test_hook_hands_pictures_to_backends(tmp_path, own):
    """Also to those of a plain visualizer; only an LocVisualizer sets the look."""
    kind = dict(type="mmwsol.LocVisualizer", panels=["map"]) if own else dict(type="Visualizer")
    visualizer = VISUALIZERS.build(dict(kind, name=f"v{own}", vis_backends=[dict(type="MemoryVisBackend")]))
    dataset = type("Two", (list,), {"metainfo": dict(classes="abc")})(range(2))
    runner = SimpleNamespace(
        visualizer=visualizer, work_dir=str(tmp_path), epoch=4, val_dataloader=SimpleNamespace(dataset=dataset)
    )
    hook = LocVisualizationHook(loops=["val"], backends=True)
    hook.before_val(runner)
    hook.after_val_iter(runner, 0, dict(inputs=[torch.zeros(3, 20, 20)]), [sample()])
    [(name, picture, step)] = visualizer.get_backend("MemoryVisBackend").pictures
    assert (name, step) == ("val_000001_a_1", 4)
    assert picture.shape[1] == (1 if own else 2) * 480
    stored = cv2.imread(str(tmp_path / "pictures/000001_a_1.jpg"))
    assert stored.shape == picture.shape


def test_sheet():
    wide, high = np.full((20, 40, 3), 10, np.uint8), np.full((300, 150, 3), 20, np.uint8)
    sheet = draw_sheet([[wide, wide], [high, high]], ["image", "TS-CAM"], [["", "IoU 0.5"], ["", ""]], width=100)
    assert sheet.shape == (22 + (50 + 4) + (200 + 4), 2 * 104 + 4, 3)
    first, second = sheet[22:72, 4:104], sheet[22:72, 108:208]
    assert (first == 10).all() and (second != 10).any()  # the text
    assert (sheet[76:276, 4:104] == 20).all() and (sheet[72:76] == 255).all()
    with pytest.raises(ValueError, match=r"rows of 2 pictures, got rows of \[1\]"):
        draw_sheet([[wide]], ["a", "b"])


@pytest.mark.parametrize("ending", [".png", ".PDF"])
def test_write_picture(tmp_path, ending):
    picture = np.zeros((200, 400, 3), np.uint8)
    picture[:, :200, 0] = 255
    path = tmp_path / "new" / f"sheet{ending}"
    write_picture(path, picture[:, ::-1])  # not contiguous
    if ending == ".png":
        assert (np.asarray(Image.open(path)) == picture[:, ::-1]).all()
    else:
        content = path.read_bytes()
        assert content.startswith(b"%PDF") and re.search(rb"/MediaBox \[ 0 0 144.0 72.0 \]", content)  # 2 by 1 inches


def test_write_picture_names_endings_that_are_none(tmp_path):
    with pytest.raises(OSError, match="cannot write '.*sheet.xyz'"):
        write_picture(tmp_path / "sheet.xyz", np.zeros((2, 2, 3), np.uint8))
