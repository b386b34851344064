"""Maps, scores and ground truth of other programs."""

import json

import cv2
import numpy as np
import pytest
from map_case import IDS, make_set

from mmwsol.evaluation.ground_truth import read_ground_truth
from mmwsol.evaluation.map_files import MapFiles
from mmwsol.evaluation.score_files import read_scores

MAP = np.arange(6.0).reshape(2, 3)


def opened(path, ids, **options):
    maps = MapFiles(path, **options)
    maps.match(ids)
    return maps


@pytest.mark.parametrize("name", ["a/b", "a/b.jpg", "a_b", "a_b.jpg", "a__b"])
@pytest.mark.parametrize("kind", ["npy", "npz", "png"])
def test_names_and_kinds(tmp_path, name, kind):
    file = tmp_path / f"{name}.{kind}"
    file.parent.mkdir(exist_ok=True)
    if kind == "npy":
        np.save(file, MAP)
    elif kind == "npz":
        np.savez(file, map=MAP)
    else:
        cv2.imwrite(str(file), MAP.astype(np.uint16))
    maps, labels = opened(tmp_path, ["a/b.jpg"]).load("a/b.jpg")
    np.testing.assert_array_equal(maps, MAP[None])
    assert labels.tolist() == [-1]


def test_maps_of_classes(tmp_path):
    np.savez(tmp_path / "x.npz", **{"dog": MAP, "0": MAP + 1})
    maps, labels = opened(tmp_path, ["x.png"], classes=["bee", "cat", "dog"]).load("x.png")
    assert labels.tolist() == [2, 0]
    np.testing.assert_array_equal(maps, [MAP, MAP + 1])


def test_one_npz(tmp_path):
    np.savez(tmp_path / "by_id.npz", **{"a/b.jpg": MAP, "c.jpg": MAP + 1})
    np.testing.assert_array_equal(opened(tmp_path / "by_id.npz", ["c.jpg", "a/b.jpg"]).load("c.jpg")[0], [MAP + 1])
    stack = dict(ids=["c", "a/b", "c"], maps=np.stack([MAP, MAP + 1, MAP + 2]))
    np.savez(tmp_path / "stack.npz", labels=[3, 0, 5], **stack)
    maps, labels = opened(tmp_path / "stack.npz", ["a/b.jpg", "c.jpg"]).load("c.jpg")
    assert labels.tolist() == [3, 5]
    np.testing.assert_array_equal(maps, [MAP, MAP + 2])
    np.savez(tmp_path / "twice.npz", **stack)
    with pytest.raises(ValueError, match="image 'c' has two maps of class -1"):
        MapFiles(tmp_path / "twice.npz")
    np.savez(tmp_path / "uneven.npz", ids=["a"], maps=stack["maps"])
    with pytest.raises(ValueError, match="needs ids"):
        MapFiles(tmp_path / "uneven.npz")


def test_images_and_maps_must_belong_together(tmp_path):
    np.save(tmp_path / "a.npy", MAP)
    np.save(tmp_path / "b.npy", MAP)
    with pytest.raises(ValueError, match=r"1 of 3 images have no map, e.g. 'x/c.jpg' \(looked for x/c, x_c, x__c"):
        opened(tmp_path, ["a.jpg", "b.jpg", "x/c.jpg"])
    with pytest.raises(ValueError, match="1 of 2 maps belong to no image of the list, e.g. 'b'"):
        opened(tmp_path, ["a.jpg"])
    MapFiles(tmp_path).match(["a.jpg"], allow_extra=True)
    with pytest.raises(ValueError, match="'a' fits two images, 'a.jpg' and 'a.png'"):
        opened(tmp_path, ["a.jpg", "a.png"])
    np.save(tmp_path / "a.jpg.npy", MAP)
    with pytest.raises(ValueError, match="image 'a.jpg' has 2 maps"):
        opened(tmp_path, ["a.jpg", "b.jpg"])
    np.savez(tmp_path / "a.npz", map=MAP)
    with pytest.raises(ValueError, match="two maps for one image"):
        MapFiles(tmp_path)
    with pytest.raises(FileNotFoundError, match="neither a folder nor an npz"):
        MapFiles(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no map in it"):
        MapFiles(tmp_path / "empty")


BAD = [
    (np.ones((1, 4, 4)), r"must be numbers \(h, w\), got float64 of shape \(1, 4, 4\)"),
    (np.array([["a"]]), "must be numbers"),
    (np.where(np.eye(4) > 0, np.nan, 0.5), "NaN or infinite"),
    (np.where(np.eye(4) > 0, np.inf, 0.5), "NaN or infinite"),
    (np.full((4, 4), 3.0), r"constant \(3\)"),
    (np.random.rand(30, 40), "is 30x40 .* must cover the evaluation frame of 32x32"),
    (np.random.rand(64, 64), "is 64x64"),
    (np.random.rand(8, 6), "is 8x6"),
]


@pytest.mark.parametrize("content, message", BAD, ids=[m[:12] for _, m in BAD])
def test_bad_maps(tmp_path, content, message):
    np.save(tmp_path / "a.npy", content)
    with pytest.raises(ValueError, match=f"map of image 'a.jpg'.*{message}"):
        opened(tmp_path, ["a.jpg"]).load("a.jpg", (32, 32))
    if "NaN" in message or "constant" in message:
        maps = opened(tmp_path, ["a.jpg"], bad_maps="zero")
        assert not maps.load("a.jpg", (32, 32))[0].any() and maps.num_zeroed == 1


def test_frames_that_are_not_square(tmp_path):
    np.save(tmp_path / "a.npy", np.random.rand(7, 10))
    opened(tmp_path, ["a.jpg"]).load("a.jpg", (224, 312))
    with pytest.raises(ValueError, match="is 7x10"):
        opened(tmp_path, ["a.jpg"]).load("a.jpg", (224, 224))


def test_mixed_maps(tmp_path):
    np.savez(tmp_path / "a.npz", map=MAP)
    np.savez(tmp_path / "b.npz", **{"1": MAP})
    maps = opened(tmp_path, ["a.jpg", "b.jpg"])
    maps.load("a.jpg")
    with pytest.raises(ValueError, match="maps of classes, unlike that of 'a.jpg'"):
        maps.load("b.jpg")
    np.savez(tmp_path / "a.npz", map=MAP, **{"1": MAP})
    with pytest.raises(ValueError, match="key 'map' is neither"):
        opened(tmp_path, ["a.jpg", "b.jpg"]).load("a.jpg")
    np.savez(tmp_path / "a.npz", **{"1": MAP, "2": MAP[:1]})
    with pytest.raises(ValueError, match="different shapes"):
        opened(tmp_path, ["a.jpg", "b.jpg"]).load("a.jpg")
    cv2.imwrite(str(tmp_path / "c.png"), np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(ValueError, match="3 channels"):
        opened(tmp_path, ["a.jpg", "b.jpg", "c.jpg"]).load("c.jpg")
    (tmp_path / "c.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match="cannot be decoded"):
        opened(tmp_path, ["a.jpg", "b.jpg", "c.jpg"]).load("c.jpg")
    (tmp_path / "b.npz").write_bytes(b"no npz")
    with pytest.raises(ValueError, match="no npy or npz"):
        opened(tmp_path, ["a.jpg", "b.jpg", "c.jpg"]).load("b.jpg")


def test_scores(tmp_path):
    expected = {"a/b.jpg": [0.5, 0.25], "c.jpg": [0, 1]}
    np.savez(tmp_path / "stack.npz", ids=["c", "a/b", "other"], scores=[[0, 1], [0.5, 0.25], [1, 1]])
    np.savez(tmp_path / "by_id.npz", a_b=[0.5, 0.25], c=[0, 1])
    (tmp_path / "head.csv").write_text("id,x,y\na/b.jpg,0.5,0.25\n\nc.jpg,0,1\n")
    (tmp_path / "plain.csv").write_text("a/b,.5,.25\r\nc,0,1")
    for name in ("stack.npz", "by_id.npz", "head.csv", "plain.csv"):
        found = read_scores(tmp_path / name, list(expected))
        assert {key: value.tolist() for key, value in found.items()} == expected, name
    for text, message in [
        ("a/b,1,2\n", "1 of 2 images have no row of scores, e.g. 'c.jpg'"),
        ("a/b,1,2\nc,1\n", "'c.jpg' needs 2 finite numbers"),
        ("a/b,1,2\nc,1,nan\n", "'c.jpg' needs 2 finite numbers"),
        ("a/b,1,2\nc,1,2\nc,1,2\n", "image 'c' comes twice"),
        ("a/b,1,2\nc,1,two\n", "plain.csv:2"),
    ]:
        (tmp_path / "plain.csv").write_text(text)
        with pytest.raises(ValueError, match=message):
            read_scores(tmp_path / "plain.csv", list(expected))
    with pytest.raises(FileNotFoundError):
        read_scores(tmp_path / "none.npz", ["a"])


def test_ground_truth(tmp_path):
    make_set(tmp_path, images=True)
    items, classes = read_ground_truth(tmp_path / "meta")
    assert [item["img_id"] for item in items] == IDS and classes == ("0", "1", "2")
    assert items[4]["ori_shape"] == (30, 40) and items[4]["img_path"] is None
    assert items[4]["gt_bboxes_ori"].tolist() == [[14, 8, 30, 22], [1, 1, 9, 9]]
    csv = tmp_path / "list.csv"
    csv.write_text("path,split,label,x0,y0,x1,y1\n" + "".join(f"{name},val,1,1,2,3,4\n" for name in IDS))
    with pytest.raises(ValueError, match="no size of 6 images.*--image-root"):
        read_ground_truth(csv)
    assert {item["ori_shape"] for item in read_ground_truth(csv, image_size=(8, 7))[0]} == {(7, 8)}
    items, _ = read_ground_truth(csv, "val", image_root=str(tmp_path / "images"))
    assert {item["ori_shape"] for item in items} == {(30, 40)}
    assert items[0]["img_path"] == str(tmp_path / "images" / IDS[0])
    coco = dict(
        images=[dict(id=7, file_name="a.jpg", width=40, height=30)],
        annotations=[dict(image_id=7, category_id=3, bbox=[1, 2, 10, 20])],
        categories=[dict(id=1, name="bee"), dict(id=3, name="cat")],
    )
    (tmp_path / "coco.json").write_text(json.dumps(coco))
    [item], classes = read_ground_truth(tmp_path / "coco.json")
    assert (item["gt_label"], item["gt_bboxes_ori"].tolist()) == (1, [[1, 2, 11, 22]]) and classes == ("bee", "cat")
    with open(tmp_path / "meta" / "image_ids.txt", "a") as file:
        file.write(IDS[0])
    with pytest.raises(ValueError, match=f"'{IDS[0]}' is listed twice"):
        read_ground_truth(tmp_path / "meta")
