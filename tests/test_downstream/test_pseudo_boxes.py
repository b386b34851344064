"""Export of a localizer's boxes and masks as COCO json."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from known_answer import BOXES, localizer, write_picture
from mmengine.config import Config

from mmwsol.apis import WSOLInferencer
from mmwsol.datasets import LocListDataset
from mmwsol.integrations import export_boxes, export_ground_truth
from mmwsol.integrations.masks import region_of_box
from mmwsol.integrations.pseudo_boxes import BoxExport, encode_mask, format_of
from mmwsol.registry import MODELS

CLASSES = ("red", "green", "blue")
ZOOMS = dict(a=1, b=2, c=3)
# Label of each picture; the last one has a box outside data_root's order, and none is sorted by label.
LABELS = dict(a=2, b=0, c=1)
TRUE_BOX = (10.5, 5, 40, 30)


@pytest.fixture
def project(tmp_path):
    """Three pictures, a config that trains on crops of them and tests on them whole, and a checkpoint."""
    root = tmp_path / "data"
    (root / "images").mkdir(parents=True)
    lines = ["path,split,label,x0,y0,x1,y1"]
    for name, zoom in ZOOMS.items():
        write_picture(root / "images" / f"{name}.png", zoom=zoom)
        x0, y0, x1, y1 = TRUE_BOX
        lines.append(f"{name}.png,train,{LABELS[name]},{x0},{y0},{x1},{y1}")
    lines.append(f"a.png,train,{LABELS['a']},1,2,3,4")
    (root / "list.csv").write_text("\n".join(lines) + "\n")
    dataset = dict(
        type="mmwsol.LocListDataset",
        data_root=str(root),
        ann_file="list.csv",
        data_prefix="images",
        metainfo=dict(classes=CLASSES),
    )
    load, pack = dict(type="mmwsol.LoadImage"), dict(type="mmwsol.PackLocInputs")
    train = [load, dict(type="mmwsol.RandomCrop", crop_size=8), pack]
    test = [load, dict(type="mmwsol.Resize", scale=(100, 64)), pack]

    def loader(pipeline):
        return dict(batch_size=2, num_workers=0, dataset=dict(dataset, pipeline=pipeline))

    cfg = Config(
        dict(
            default_scope="mmpretrain",
            model=localizer(),
            train_dataloader=loader(train),
            val_dataloader=loader(train),
            test_dataloader=loader(test),
        )
    )
    checkpoint = tmp_path / "localizer.pth"
    torch.save(dict(state_dict=MODELS.build(localizer()).state_dict()), checkpoint)
    return cfg, str(checkpoint), root


def boxes_by_file(coco):
    names = {image["id"]: image["file_name"] for image in coco["images"]}
    return {names[a["image_id"]]: (a["category_id"], a["bbox"]) for a in coco["annotations"]}


def xywh(label, zoom):
    x0, y0, x1, y1 = np.multiply(BOXES[label], zoom).tolist()
    return [x0, y0, x1 - x0, y1 - y0]


@pytest.mark.parametrize("split", ["train", "val"])
def test_box_of_the_image_label(project, split):
    cfg, checkpoint, _ = project
    export = export_boxes(cfg, checkpoint, split)
    coco = export.to_coco()
    assert [image["file_name"] for image in coco["images"]] == [f"images/{name}.png" for name in ZOOMS]
    assert [(i["width"], i["height"]) for i in coco["images"]] == [(100 * z, 64 * z) for z in ZOOMS.values()]
    assert coco["categories"] == [dict(id=1, name="red"), dict(id=2, name="green"), dict(id=3, name="blue")]
    exported = boxes_by_file(coco)
    for name, zoom in ZOOMS.items():
        category, box = exported[f"images/{name}.png"]
        assert category == LABELS[name] + 1
        # Whole picture in the network's frame, box back in the picture's own pixels.
        np.testing.assert_allclose(box, xywh(LABELS[name], zoom), atol=1.1 * zoom)
    assert [a["id"] for a in coco["annotations"]] == [1, 2, 3]
    assert all(0 < a["score"] < 1 and a["iscrowd"] == 0 for a in coco["annotations"])
    assert coco["info"]["box_rule"]["threshold"] == 0.5 and coco["info"]["label"] == "gt"
    json.dumps(coco)


def test_box_of_the_predicted_class(project):
    cfg, checkpoint, _ = project
    exported = boxes_by_file(export_boxes(cfg, checkpoint, label="pred").to_coco())
    for name, zoom in ZOOMS.items():
        category, box = exported[f"images/{name}.png"]
        assert category == 1  # red is the largest
        np.testing.assert_allclose(box, xywh(0, zoom), atol=1.1 * zoom)


def agnostic(cfg):
    """All three boxes are on the one map."""
    cfg.model = localizer(agnostic=True)
    return cfg


@pytest.mark.parametrize("label", ["gt", "pred"])
@pytest.mark.parametrize("number", [2, 3, 9])
def test_several_boxes_are_those_of_infer(project, number, label):
    cfg, checkpoint, root = project
    export = export_boxes(agnostic(cfg), checkpoint, label=label, max_boxes=number)
    inferencer = WSOLInferencer(cfg, checkpoint, device="cpu")
    found = inferencer(str(root / "images"), max_boxes=number)["predictions"]
    for record, image in zip(found, export.images, strict=True):
        ours = [a for a in export.annotations if a["image_id"] == image["id"]]
        assert len(ours) == min(number, 3)
        boxes = [[x, y, x + w, y + h] for x, y, w, h in (a["bbox"] for a in ours)]
        np.testing.assert_allclose(boxes, [item["bbox"] for item in record["objects"]], atol=0.01)
        wanted = LABELS[Path(image["file_name"]).stem] if label == "gt" else record["pred_label"]
        assert {a["category_id"] for a in ours} == {wanted + 1}
        if label == "pred":  # the confidence means the same
            assert [a["score"] for a in ours] == [round(item["confidence"], 6) for item in record["objects"]]
    assert export.info["max_boxes"] == number


def test_several_boxes_are_on_the_map_of_the_image_label(project):
    """Maps of classes: the blue picture has one blue region, whatever is asked for."""
    cfg, checkpoint, _ = project
    several = export_boxes(cfg, checkpoint, max_boxes=5).annotations
    assert several == export_boxes(cfg, checkpoint).annotations


def test_each_of_several_boxes_has_its_own_mask(project):
    mask_utils = pytest.importorskip("pycocotools.mask")
    cfg, checkpoint, _ = project
    annotations = export_boxes(agnostic(cfg), checkpoint, masks="rle", max_boxes=3).annotations
    assert len(annotations) == 9
    for annotation in annotations:
        mask = mask_utils.decode(annotation["segmentation"]).astype(bool)
        x, y, w, h = annotation["bbox"]
        rows, columns = np.nonzero(mask)
        np.testing.assert_allclose([columns.min(), rows.min()], [x, y], atol=1.1)
        assert annotation["area"] == mask.sum() == pytest.approx(w * h, rel=0.1)


def test_images_without_labels(project, tmp_path):
    cfg, checkpoint, root = project
    shutil.copytree(root / "images", tmp_path / "photos/sub")
    for images, names in (
        (str(tmp_path / "photos"), [f"sub/{name}.png" for name in ZOOMS]),
        ([tmp_path / "photos"], [f"sub/{name}.png" for name in ZOOMS]),
        (str(tmp_path / "photos/*/a.png"), ["a.png"]),
        ([str(tmp_path / "photos/sub/b.png"), str(root / "images/a.png")], ["photos/sub/b.png", "data/images/a.png"]),
    ):
        export = export_boxes(cfg, checkpoint, label="pred", images=images)
        assert [image["file_name"] for image in export.images] == names
        assert export.classes == CLASSES
        for image, annotation in zip(export.images, export.annotations, strict=True):
            zoom = ZOOMS[Path(image["file_name"]).stem]
            assert annotation["category_id"] == 1  # red is the largest
            np.testing.assert_allclose(annotation["bbox"], xywh(0, zoom), atol=1.1 * zoom)
    (tmp_path / "photos/sub/b.png").write_bytes(b"no image")
    export = export_boxes(cfg, checkpoint, label="pred", images=str(tmp_path / "photos"))
    assert len(export.images) == 2 and export.skipped == {"unreadable": 1}
    with pytest.raises(ValueError, match="give label='pred'"):
        export_boxes(cfg, checkpoint, images=str(tmp_path / "photos"))
    with pytest.raises(ValueError, match="no image in"):
        export_boxes(cfg, checkpoint, label="pred", images=str(tmp_path / "*.gif"))


def test_a_split_without_labels_says_what_takes_it(project):
    cfg, checkpoint, root = project
    for loader in (cfg.train_dataloader, cfg.test_dataloader):
        loader.dataset.update(data_root=str(root / "images"), ann_file="", data_prefix="")
    with pytest.raises(ValueError, match="image 'a.png' has no label(.|\n)*--images FOLDER"):
        export_boxes(cfg, checkpoint, label="pred")
    with pytest.raises(ValueError, match="image 'a.png' has no label") as error:
        export_boxes(cfg, checkpoint)
    assert "--images" not in str(error.value)


def test_numbers_of_boxes_that_are_none(project):
    cfg, checkpoint, _ = project
    with pytest.raises(ValueError, match="max_boxes must be 1 or more, got 0"):
        export_boxes(cfg, checkpoint, max_boxes=0)


def test_progress_is_shown(project, monkeypatch, capsys):
    monkeypatch.setattr("mmwsol.utils.progress.PROGRESS_SECONDS", -1)
    export_boxes(*project[:2])
    assert [line.split(" batches")[0] for line in capsys.readouterr().out.splitlines() if "Inference" in line] == [
        "Inference: 1 of 2",
        "Inference: 2 of 2",
    ]


def test_class_agnostic(project):
    cfg, checkpoint, _ = project
    coco = export_boxes(cfg, checkpoint, class_agnostic=True).to_coco()
    assert coco["categories"] == [dict(id=1, name="object")]
    exported = boxes_by_file(coco)
    assert {category for category, _ in exported.values()} == {1}
    np.testing.assert_allclose(exported["images/a.png"][1], xywh(LABELS["a"], 1), atol=1.1)
    cfg.model = localizer(agnostic=True)  # a class-agnostic map: the same box for every class
    exported = boxes_by_file(export_boxes(cfg, checkpoint).to_coco())
    for name, zoom in ZOOMS.items():
        assert exported[f"images/{name}.png"][0] == LABELS[name] + 1
        np.testing.assert_allclose(exported[f"images/{name}.png"][1], xywh(0, zoom), atol=1.1 * zoom)


def test_score_threshold(project):
    cfg, checkpoint, root = project
    found = WSOLInferencer(cfg, checkpoint, device="cpu")(str(root / "images"))["predictions"]
    ranked = [
        dict(zip(record["pred_score"]["labels"], record["pred_score"]["scores"], strict=True)) for record in found
    ]
    first, second, *_ = [scores[LABELS[Path(r["img_path"]).stem]] for r, scores in zip(found, ranked, strict=True)]
    assert first < second  # the blue box is smaller than the red one
    export = export_boxes(cfg, checkpoint, score_thr=(first + second) / 2)
    assert [image["file_name"] for image in export.images] == ["images/b.png"]
    assert export.skipped == {"score below the threshold": 2}
    with pytest.raises(ValueError, match="no image is left.*below the threshold"):
        export_boxes(cfg, checkpoint, score_thr=0.999).save("unused.json")


def test_unreadable_images_are_left_out_and_named(project):
    cfg, checkpoint, root = project
    (root / "images" / "b.png").write_bytes(b"no image")
    (root / "images" / "c.png").unlink()
    for workers in (0, 1):
        cfg.train_dataloader.num_workers = workers
        export = export_boxes(cfg, checkpoint)
        assert [image["file_name"] for image in export.images] == ["images/a.png"]
        assert export.skipped == {"unreadable": 2}
        assert "b.png" in export.unreadable[0] and "c.png" in export.unreadable[1]
    truth = export_ground_truth(cfg)
    assert len(truth.images) == 1 and len(truth.unreadable) == 2


def test_ground_truth(project):
    cfg, _, _ = project
    coco = export_ground_truth(cfg, "test").to_coco()
    assert len(coco["images"]) == 3 and len(coco["annotations"]) == 4
    x0, y0, x1, y1 = TRUE_BOX
    assert coco["annotations"][0]["bbox"] == [x0, y0, x1 - x0, y1 - y0]
    assert coco["annotations"][1]["bbox"] == [1, 2, 2, 2]  # the second box of the first picture
    assert [a["image_id"] for a in coco["annotations"]] == [1, 1, 2, 3]
    assert export_ground_truth(cfg, "test", class_agnostic=True).classes == ("object",)


@pytest.fixture
def masked(tmp_path):
    """Pictures with masks: one box and two mask files; no box, two files and an ignore file; no mask."""
    root = tmp_path / "masked"
    root.mkdir()
    items = []
    for name in "abc":
        write_picture(root / f"{name}.png", width=96)
        items.append(dict(img_path=f"{name}.png", img_id=name, gt_label=0, gt_bboxes_ori=[]))
    for label in BOXES:
        x0, y0, x1, y1 = BOXES[label]
        mask = np.zeros((64, 96), np.uint8)
        mask[y0:y1, x0:x1] = 255
        cv2.imwrite(str(root / f"mask-{label}.png"), mask)
    files = [str(root / f"mask-{label}.png") for label in BOXES]
    items[0].update(gt_bboxes_ori=[BOXES[0]], mask_paths=files[:1])
    items[1].update(mask_paths=files[:2], ignore_path=files[2])
    (root / "list.json").write_text(json.dumps(dict(metainfo=dict(classes=CLASSES), data_list=items)))
    data = dict(type="mmwsol.BaseLocDataset", data_root=str(root), ann_file="list.json", data_prefix=dict(img_path=""))
    pipeline = [dict(type="mmwsol.LoadImage"), dict(type="mmwsol.PackLocInputs")]
    loader = dict(batch_size=2, num_workers=0, dataset=dict(data, pipeline=pipeline))
    return Config(dict(default_scope="mmpretrain", model=localizer(), val_dataloader=loader, test_dataloader=loader))


@pytest.mark.parametrize("kind", ["rle", "polygon"])
def test_masks_of_the_ground_truth(masked, tmp_path, kind):
    pytest.importorskip("pycocotools")  # comes with mmdet
    from pycocotools.coco import COCO

    export = export_ground_truth(masked, masks=kind)
    assert [image["file_name"] for image in export.images] == ["a.png", "b.png"]
    assert export.skipped == {"no mask": 1}
    export.save(tmp_path / "gt.json")
    coco = COCO(str(tmp_path / "gt.json"))
    found = coco.loadAnns(coco.getAnnIds())
    assert [(a["image_id"], a["iscrowd"]) for a in found] == [(1, 0), (2, 0), (2, 0), (2, 1)]
    for annotation, label in zip(found, (0, 0, 1, 2), strict=True):
        x0, y0, x1, y1 = BOXES[label]
        assert annotation["bbox"] == [x0, y0, x1 - x0, y1 - y0]
        assert annotation["area"] == (x1 - x0) * (y1 - y0)
        expected = np.zeros((64, 96), bool)
        expected[y0:y1, x0:x1] = True
        mask = coco.annToMask(annotation).astype(bool)
        assert (mask & expected).sum() / (mask | expected).sum() > (0.9 if kind == "polygon" else 0.9999)


def test_masks_of_several_boxes_are_refused(masked):
    root = Path(masked.val_dataloader.dataset.data_root)
    content = json.loads((root / "list.json").read_text())
    content["data_list"][0]["gt_bboxes_ori"] = [BOXES[0], BOXES[1]]
    (root / "list.json").write_text(json.dumps(content))
    assert len(export_ground_truth(masked).annotations) == 2
    with pytest.raises(ValueError, match="a.png' has 2 boxes, and its masks do not say which pixels"):
        export_ground_truth(masked, masks="rle")
    with pytest.raises(ValueError, match="masks must be one of"):
        export_ground_truth(masked, masks="png")


def test_mask_ap(masked, tmp_path):
    """A localizer that finds the very pixels has mask AP 1 in mmdet's CocoMetric, one that finds others has not."""
    pytest.importorskip("mmdet.models", exc_type=ImportError)  # absent with mmcv-lite
    from mmdet.evaluation import CocoMetric
    from mmdet.structures import DetDataSample
    from mmengine.evaluator import Evaluator

    from mmwsol.integrations import WSOLDetector

    file = Path(masked.val_dataloader.dataset.data_root) / "list.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps(dict(content, data_list=content["data_list"][:1])))
    truth = export_ground_truth(masked, masks="rle")
    truth.save(tmp_path / "gt.json")
    detector = WSOLDetector(localizer(), topk=1, with_masks=True).eval()
    image = cv2.imread(str(Path(truth.data_root) / "a.png"))
    for shift, expected in ((0, 1.0), (12, 0.0)):
        sample = DetDataSample(metainfo=dict(img_id=1, ori_shape=(64, 96), img_shape=(64, 96), scale_factor=(1, 1)))
        inputs = torch.from_numpy(np.roll(image, shift, axis=1)).permute(2, 0, 1)
        found = detector.test_step(dict(inputs=[inputs], data_samples=[sample]))
        metric = CocoMetric(ann_file=str(tmp_path / "gt.json"), metric=["bbox", "segm"])
        evaluator = Evaluator([metric])
        evaluator.dataset_meta = dict(classes=CLASSES)
        evaluator.process(found)
        values = evaluator.evaluate(1)
        assert values["coco/segm_mAP_75"] == values["coco/bbox_mAP_75"] == expected


def test_wrappers_and_absolute_names(project, tmp_path):
    cfg, checkpoint, root = project
    cfg.train_dataloader.dataset = dict(type="RepeatDataset", times=1, dataset=cfg.train_dataloader.dataset)
    assert len(export_boxes(cfg, checkpoint).images) == 3
    elsewhere = tmp_path / "elsewhere"
    (root / "images").rename(elsewhere)
    cfg.test_dataloader.dataset.data_prefix = str(elsewhere)
    names = [image["file_name"] for image in export_ground_truth(cfg, "test").images]
    assert names == [str(elsewhere / f"{name}.png") for name in ZOOMS]


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    export = BoxExport("", ("a", "ö"), {})
    export.add("x.jpg", (9, 9), [dict(label=np.int64(1), box=(0, 1, 2, 3))])
    names = export.save(tmp_path / "boxes.json")
    assert names.read_text(encoding="utf-8") == "a\nö\n"
    content = json.loads((tmp_path / "boxes.json").read_text())
    assert content["annotations"][0]["bbox"] == [0, 1, 2, 2] and content["annotations"][0]["category_id"] == 2

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    export.images *= 2
    with pytest.raises(OSError, match="cannot be written: No space left"):
        export.save(tmp_path / "boxes.json")
    assert json.loads((tmp_path / "boxes.json").read_text()) == content and len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("format", ["coco", "yolo", "voc", "csv"])
def test_formats_read_back_equal(project, tmp_path, format):
    cfg, checkpoint, root = project
    export = export_boxes(cfg, checkpoint)
    out = tmp_path / {"coco": "boxes.json", "csv": "boxes.csv"}.get(format, "boxes")
    names = export.save(out, format)
    assert names == {"coco": tmp_path / "boxes.classes.txt", "yolo": out / "classes.txt"}.get(format, out)
    # names are relative to data_root; in class folders, here 'images', labels of yolo and voc are the folders
    options = dict(metainfo=dict(classes=CLASSES)) if format in ("coco", "csv") else {}
    data = LocListDataset(data_root=str(root), ann_file=str(out / "labels" if format == "yolo" else out), **options)
    data.full_init()
    items = [data.get_data_info(index) for index in range(len(data))]
    expected = [annotation["bbox"] for annotation in export.annotations]
    for item, (x, y, w, h) in zip(items, expected, strict=True):
        np.testing.assert_array_equal(item["gt_bboxes_ori"].round(2), np.float32([[x, y, x + w, y + h]]).round(2))
    if options:
        assert [item["gt_label"] for item in items] == list(LABELS.values())


@pytest.mark.parametrize("format", ["yolo", "voc"])
def test_no_label_of_an_image_that_is_left_out(project, tmp_path, format):
    """'a.txt' would be that of both 'a.png', which is exported, and 'a.jpg', which cannot be read."""
    cfg, checkpoint, root = project
    (root / "images/a.jpg").write_bytes(b"no image")
    with open(root / "list.csv", "a") as file:
        file.write("a.jpg,train,0,,,,\n")
    ending = {"yolo": "txt", "voc": "xml"}[format]
    for number, export in enumerate((export_boxes(cfg, checkpoint), export_ground_truth(cfg, "train"))):
        export.save(tmp_path / str(number), format)
        found = sorted(path.name for path in (tmp_path / str(number)).rglob(f"images/*.{ending}"))
        assert found == [f"a.png.{ending}", f"b.{ending}", f"c.{ending}"]


def test_names_that_a_format_cannot_hold_are_told_before_inference(project, tmp_path, monkeypatch):
    cfg, checkpoint, root = project
    monkeypatch.setattr("mmwsol.integrations.pseudo_boxes._predict", lambda *args: pytest.fail("inference has begun"))
    elsewhere = tmp_path / "elsewhere"
    (root / "images").rename(elsewhere)
    cfg.train_dataloader.dataset.data_prefix = str(elsewhere)
    for format in ("yolo", "voc"):
        for export in (partial(export_boxes, cfg, checkpoint), partial(export_ground_truth, cfg)):
            with pytest.raises(ValueError, match="elsewhere/a.png' is outside the folder of images"):
                export(split="train", format=format)
    elsewhere.rename(root / "images")
    cfg.train_dataloader.dataset.data_prefix = "images"
    with open(root / "list.csv", "a") as file:
        file.write(f"{'x' * 250}.png,train,0,,,,\n")
    with pytest.raises(ValueError, match="xx.png' has a name that is too long .*, .txt: rename it, or choose another"):
        export_boxes(cfg, checkpoint, format="yolo")


def test_a_path_that_does_not_fit_the_format(tmp_path):
    for path, format, message in (
        ("x.txt", None, "must end in .json or .csv, or be a folder"),
        ("x.json", "csv", "must end in .csv for format 'csv'"),
        ("x.json", "xml", "format must be one of"),
        (tmp_path, "voc", "is there and no empty folder"),
        (tmp_path / "file", "yolo", "is there and no empty folder"),
    ):
        (tmp_path / "file").write_text("mine")
        with pytest.raises(ValueError, match=message):
            format_of(path, format)
    assert format_of("a/x.csv") == "csv" and format_of(tmp_path / "new", "voc") == "voc"


def test_polygons_follow_the_mask():
    mask = np.zeros((40, 50), bool)
    mask[5:25, 10:30] = True
    mask[25:35, 10:15] = True
    (polygon,) = encode_mask(mask, "polygon")
    x, y = polygon[0::2], polygon[1::2]
    assert (min(x), max(x), min(y), max(y)) == pytest.approx((10, 30, 5, 35), abs=0.3)
    area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
    assert area == pytest.approx(mask.sum(), rel=0.06)


@pytest.mark.parametrize("kind", ["rle", "polygon"])
def test_masks_in_pycocotools_and_mmdet(project, tmp_path, kind):
    pytest.importorskip("mmdet.models", exc_type=ImportError)  # absent with mmcv-lite
    from mmdet.datasets import CocoDataset
    from pycocotools.coco import COCO

    cfg, checkpoint, root = project
    out = tmp_path / "boxes.json"
    names = export_boxes(cfg, checkpoint, masks=kind).save(out)
    assert names.read_text().split() == list(CLASSES)
    coco = COCO(str(out))
    for annotation in coco.loadAnns(coco.getAnnIds()):
        label = annotation["category_id"] - 1
        name, zoom = list(ZOOMS.items())[annotation["image_id"] - 1]
        expected = np.zeros((64 * zoom, 100 * zoom), bool)
        x0, y0, x1, y1 = np.multiply(BOXES[label], zoom)
        expected[y0:y1, x0:x1] = True
        mask = coco.annToMask(annotation).astype(bool)
        assert (mask & expected).sum() / (mask | expected).sum() > 0.9, name
        assert annotation["area"] == pytest.approx(mask.sum(), rel=0.05)
    dataset = CocoDataset(
        ann_file=str(out),
        data_root=str(root),
        data_prefix=dict(img=""),
        metainfo=dict(classes=str(names)),
        pipeline=[
            dict(type="mmdet.LoadImageFromFile"),
            dict(type="mmdet.LoadAnnotations", with_bbox=True, with_mask=True),
            dict(type="mmdet.PackDetInputs"),
        ],
    )
    assert list(dataset.metainfo["classes"]) == list(CLASSES) and len(dataset) == 3
    for item, name in zip(dataset, ZOOMS, strict=True):
        instances = item["data_samples"].gt_instances
        assert instances.labels.tolist() == [LABELS[name]]
        np.testing.assert_allclose(
            instances.bboxes.tensor[0], np.multiply(BOXES[LABELS[name]], ZOOMS[name]), atol=1.1 * ZOOMS[name]
        )
        assert instances.masks.masks.any()


def test_errors(project):
    cfg, checkpoint, _ = project
    for wrong, named in (
        (dict(split="dev"), "split must be one of"),
        (dict(label="top5"), "label must be one of"),
        (dict(masks="png"), "masks must be one of"),
    ):
        with pytest.raises(ValueError, match=named):
            export_boxes(cfg, checkpoint, **wrong)
    other = dict(
        cfg.model,
        backbone=dict(type="mmwsol.VGG16CAM", base_channels=2),
        head=dict(type="mmwsol.LinearCAMHead", num_classes=3, in_channels=32),
    )
    with pytest.raises(ValueError, match="lacks .* tensors of the model"):
        export_boxes(Config(dict(cfg.to_dict(), model=other)), checkpoint)
    cfg.val_dataloader = None
    with pytest.raises(ValueError, match="no val_dataloader"):
        export_boxes(cfg, checkpoint, "val")


def test_tool(project, tmp_path, monkeypatch, capsys):
    """The command, on a stage of a config file."""
    cfg, _, root = project
    vit = dict(
        type="mmwsol.ImageLocalizer",
        backbone=dict(
            type="mmwsol.TapViT",
            arch=dict(embed_dims=8, num_layers=1, num_heads=2, feedforward_channels=8),
            img_size=64,
            patch_size=4,
        ),
        head=dict(type="mmwsol.ConvCAMHead", num_classes=3, in_channels=8),
    )
    text = cfg.to_dict()
    text["test_dataloader"]["dataset"]["pipeline"][1]["scale"] = (64, 64)
    text["model"] = vit
    text["stages"] = [dict(name="cam", model=dict(map_to_box=dict(type="mmwsol.ContourBox", threshold=0.2)))]
    config = tmp_path / "cam.py"
    config.write_text(Config(text).pretty_text)
    checkpoint, out = tmp_path / "vit.pth", tmp_path / "new" / "boxes.json"
    torch.save(dict(state_dict=MODELS.build(vit).state_dict()), checkpoint)
    path = Path(__file__).resolve().parents[2] / "tools" / "pseudo_boxes.py"
    spec = importlib.util.spec_from_file_location("pseudo_boxes_tool", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["pseudo_boxes.py", str(config), *map(str, arguments)])
        module.main()
        return capsys.readouterr().out

    (root / "images" / "c.png").write_bytes(b"")
    printed = run(checkpoint, "--out", out, "--masks", "polygon", "--stage", "cam", "--device", "cpu")
    assert "2 images, 2 boxes, 3 classes" in printed and "Left out: 1 images, unreadable." in printed
    annotations = json.loads(out.read_text())["annotations"]
    assert [a["category_id"] for a in annotations] == [3, 1] and annotations[0]["segmentation"]
    assert (out.parent / "boxes.classes.txt").read_text() == "red\ngreen\nblue\n"
    run("--ground-truth", "--split", "test", "--out", out)
    assert len(json.loads(out.read_text())["annotations"]) == 3
    images = ("--images", root / "images/a.png", root / "images/b.png", "--max-boxes", "2")
    assert "2 images, 2 boxes" in run(checkpoint, "--out", out, "--stage", "cam", *images)
    assert json.loads(out.read_text())["info"]["label"] == "pred"
    run("--ground-truth", "--split", "test", "--out", out.parent / "voc", "--format", "voc")
    assert sorted(path.name for path in (out.parent / "voc/images").iterdir()) == ["a.xml", "b.xml"]
    with pytest.raises(SystemExit, match="is there and no empty folder"):
        run("--ground-truth", "--split", "test", "--out", out.parent / "voc", "--format", "voc")
    moved = shutil.copytree(root / "images", tmp_path / "moved")
    options = ("--format", "yolo", "--cfg-options", f"train_dataloader.dataset.data_prefix={moved}")
    with monkeypatch.context() as patch:
        patch.setattr("mmwsol.integrations.pseudo_boxes._predict", lambda *args: pytest.fail("inference has begun"))
        with pytest.raises(SystemExit, match="moved/a.png' is outside the folder of images"):
            run(checkpoint, "--out", out.parent / "yolo", *options)
    with pytest.raises(SystemExit, match="--masks goes with COCO json"):
        run(checkpoint, "--out", out.with_suffix(".csv"), "--masks", "rle")
    for wrong in (
        ("--out", out),  # no checkpoint
        (checkpoint, "--out", out, "--ground-truth"),
        ("--out", out, "--ground-truth", "--max-boxes", "2"),
        ("--out", out, "--ground-truth", "--images", root),
        (checkpoint, "--out", tmp_path / "boxes.txt"),
    ):
        with pytest.raises(SystemExit) as stop:
            run(*wrong)
        assert stop.value.code == 2
    with pytest.raises(SystemExit, match="no such stage"):
        run(checkpoint, "--out", out, "--stage", "sat")


def test_mask_of_a_box_that_another_region_reaches_into():
    """A thin L and a block in its corner: the block has more pixels inside the L's box."""
    foreground = np.zeros((60, 60), bool)
    foreground[10:30, 10] = foreground[29, 10:30] = True
    foreground[5:26, 15:50] = True
    corner = region_of_box(foreground, np.array([10, 10, 30, 30], np.float32))
    assert corner.sum() == 39 and corner[29, 10] and not corner[20, 20]
    assert region_of_box(foreground, np.array([15, 5, 50, 26], np.float32)).sum() == 21 * 35
    assert not region_of_box(foreground, np.array([52, 52, 58, 58], np.float32)).any()
    assert not region_of_box(np.zeros((8, 8), bool), np.array([0, 0, 8, 8], np.float32)).any()
