"""Converters: from a release's archives to what the data sets read, and what they say when something is missing."""

from __future__ import annotations

import importlib
import io
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path

import layouts
import pytest
from data_dir import DATA_DIR, requires_data

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def converter(monkeypatch, capsys):
    """Run a converter with other counts; return what it printed, or the line it ended with."""
    monkeypatch.syspath_prepend(str(ROOT / "tools" / "dataset_converters"))

    def run(name, *sources, out, **counts):
        module = importlib.import_module(name)
        monkeypatch.setattr(module, "COUNTS", {split: dict(c) for split, c in (counts or module.COUNTS).items()})
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, sources), "--out", str(out)])
        try:
            module.run(module.__doc__, "data/x", module.convert)
        except SystemExit as error:
            return str(error.code)
        return capsys.readouterr().out

    yield run
    names = [path.stem for path in (ROOT / "tools" / "dataset_converters").glob("*.py")]
    for name in names:
        sys.modules.pop(name, None)


def pack(folder: Path, archive: Path, prefix: str = "") -> Path:
    """Pack a folder into a zip or a tar; names start with ``prefix``."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
            for path in files:
                file.write(path, prefix + path.relative_to(folder).as_posix())
    else:
        with tarfile.open(archive, "w:gz" if archive.suffix in (".tgz", ".gz") else "w") as file:
            for path in files:
                file.add(path, prefix + path.relative_to(folder).as_posix())
    return archive


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns) for path in paths}


def one_line(text: str) -> bool:
    return bool(text) and "\n" not in text.strip()


CUB = dict(train=dict(images=2, boxes=2, classes=2), test=dict(images=2, boxes=2, classes=2))


def cub_archive(tmp_path, **kwargs):
    return pack(layouts.cub(tmp_path / "src", **kwargs), tmp_path / "CUB_200_2011.tgz", "CUB_200_2011/")


# ---- every data set -------------------------------------------------------------------------------


def test_cub(converter, tmp_path):
    archive = cub_archive(tmp_path)
    masks = layouts.cub(tmp_path / "more", masks=True) / "segmentations"
    masks = pack(masks, tmp_path / "segmentations.tgz", "segmentations/")
    text = converter("cub", archive, out=tmp_path / "out", **CUB)
    assert text.splitlines()[-1] == (
        f"{tmp_path / 'out'} is complete. train: 2 images, 2 boxes, 2 classes; test: 2 images, 2 boxes, 2 classes."
    )
    assert not (tmp_path / "out" / "segmentations").exists()
    assert "4 files put" in converter("cub", archive, masks, out=tmp_path / "out", **CUB)
    (tmp_path / "out/segmentations/001.Bird_1/Bird_1_1.png").unlink()
    text = converter("cub", out=tmp_path / "out", **CUB)
    assert one_line(text) and "train: 1 files are missing, e.g." in text and "Bird_1_1.png" in text


def test_cub_needs_200_classes(converter, tmp_path):
    """The real counts refuse a part of the data set."""
    text = converter("cub", cub_archive(tmp_path), out=tmp_path / "out")
    assert one_line(text.splitlines()[-1])
    assert "train: images 2 instead of 5994; train: boxes 2 instead of 5994; train: classes 2 instead of 200" in text


def test_cubv2(converter, tmp_path):
    root = layouts.cubv2(tmp_path / "src")
    counts = dict(val={"images": 3, "boxes": 3, "classes": 2, "in largest class": 2})
    layouts.write_image(root / "images/002.Laysan_Albatross/of_cub_itself.jpg")
    images = pack(root / "images", tmp_path / "CUBV2.tar", "./")
    text = converter("cubv2", images, out=tmp_path / "out", **counts)
    assert one_line(text) and "image_ids.txt' is missing: give the folder 'metadata' of wsolevaluation" in text
    text = converter("cubv2", images, root / "metadata", out=tmp_path / "out", **counts)
    assert "is complete. val: 3 images" in text
    assert len(list((tmp_path / "out/images").rglob("*.jpg"))) == 3


@pytest.mark.parametrize("hashed_list", [True, False])
@pytest.mark.parametrize("hashed_archive", [True, False])
def test_imagenetv2(converter, tmp_path, hashed_list, hashed_archive):
    root = layouts.imagenetv2(tmp_path / "src")
    counts = dict(val=dict(images=2, boxes=3, classes=2))
    mapping = {"0/0.jpeg": "0/a31041fd.jpeg", "10/1.jpeg": "10/4def83b1.jpeg"}
    lists = root / "metadata/ILSVRC/val"
    for number, name in mapping.items():
        if hashed_list:
            for path in lists.iterdir():
                path.write_text(path.read_text().replace(number, name))
        if hashed_archive:
            (root / "val2" / number).rename(root / "val2" / name)
    archive = pack(root / "val2", tmp_path / "imagenetv2-threshold0.7.tar.gz", "imagenetv2-threshold0.7-format-val/")
    if hashed_list != hashed_archive:
        text = converter("imagenetv2", archive, root / "metadata", out=tmp_path / "out", **counts)
        assert one_line(text) and "2 images are not in the list, e.g. '0/" in text and "mapping.txt" in text
    layouts.write_lines(lists / "mapping.txt", [f"{number}, {name}" for number, name in mapping.items()])
    text = converter("imagenetv2", archive, root / "metadata", out=tmp_path / "out", **counts)
    assert "is complete. val: 2 images, 3 boxes, 2 classes." in text
    layouts.write_image(tmp_path / "out/val2" / (mapping["0/0.jpeg"] if hashed_list else "0/0.jpeg"), size=(41, 30))
    text = converter("imagenetv2", out=tmp_path / "out", **counts)
    assert one_line(text) and "is (41, 30), the list says (40, 30)" in text


def ilsvrc_sources(tmp_path):
    """The validation images and their xml files; the second has two boxes."""
    root = layouts.ilsvrc(tmp_path / "src", flat=True)
    boxes = [["1 2 11 12"], ["3 4 20 21", "5 6 30 29"], ["0 0 39 29"]]
    for number, (wnid, listed) in enumerate(zip(layouts.WNIDS, boxes, strict=True), 1):
        layouts.voc_xml(tmp_path / f"xml/val/ILSVRC2012_val_0000000{number}.xml", [(wnid, box) for box in listed])
    images = pack(root / "val", tmp_path / "ILSVRC2012_img_val.tar")
    return root, images, pack(tmp_path / "xml", tmp_path / "ILSVRC2012_bbox_val_v3.tgz")


ILSVRC = dict(val={"images": 3, "boxes": 4, "classes": 3, "in largest class": 1})


def test_ilsvrc(converter, tmp_path):
    root, images, annotations = ilsvrc_sources(tmp_path)
    out = tmp_path / "out"
    text = converter("ilsvrc", images, out=out, **ILSVRC)
    assert one_line(text.splitlines()[-1]) and "has no list of the validation boxes" in text
    assert "is complete. val: 3 images, 4 boxes" in converter("ilsvrc", images, annotations, out=out, **ILSVRC)
    written = (out / "ILSVRC2012_list/val_folder_new.txt").read_text()
    assert written == (root / "val_folder_new.txt").read_text()
    text = converter("ilsvrc", images, root, out=tmp_path / "with_lists", **ILSVRC)  # no metadata/ILSVRC/test in it
    assert "has no list" in text
    (root / "metadata").rename(tmp_path / "test")
    shutil.copytree(tmp_path / "test", tmp_path / "metadata/ILSVRC/test")
    text = converter("ilsvrc", images, tmp_path / "metadata", out=tmp_path / "with_lists", **ILSVRC)
    assert "is complete" in text


def test_ilsvrc_images_in_class_folders_stay(converter, tmp_path):
    _, images, annotations = ilsvrc_sources(tmp_path)
    out = layouts.ilsvrc(tmp_path / "out")
    (out / "val_folder_new.txt").unlink()
    for number in range(997):  # the data set wants its 1,000 folders
        (out / f"val/n{number + 3000000:08d}").mkdir()
    before = tree(out / "val")
    assert "is complete" in converter("ilsvrc", images, annotations, out=out, **ILSVRC)
    assert tree(out / "val") == before


def test_ilsvrc_annotations_without_an_object(converter, tmp_path):
    _, images, _ = ilsvrc_sources(tmp_path)
    layouts.voc_xml(tmp_path / "xml/val/ILSVRC2012_val_00000002.xml", [])
    text = converter("ilsvrc", images, tmp_path / "xml", out=tmp_path / "out", **ILSVRC)
    assert "val/ILSVRC2012_val_00000002.xml' has objects of 0 classes, not of one" in text.splitlines()[-1]
    (tmp_path / "xml/val/ILSVRC2012_val_00000002.xml").write_text("<annotation><obj")
    text = converter("ilsvrc", images, tmp_path / "xml", out=tmp_path / "out", **ILSVRC)
    assert "00000002.xml' is not an annotation of ILSVRC" in text.splitlines()[-1]
    (tmp_path / "xml/val/ILSVRC2012_val_00000002.xml").unlink()
    text = converter("ilsvrc", images, tmp_path / "xml", out=tmp_path / "out", **ILSVRC)
    assert "val: images 2 instead of 3; val: boxes 2 instead of 4" in text.splitlines()[-1]


def test_openimages(converter, tmp_path):
    root = layouts.openimages(tmp_path / "src")
    both = dict(images=2, masks=3, classes=2)
    counts = dict(train=dict(images=2, classes=2), val=both, test=both)
    for suffix, name in ((".jpg", "OpenImages_images.zip"), (".png", "OpenImages_annotations.zip")):
        part = tmp_path / name.removesuffix(".zip")
        for path in root.rglob(f"*{suffix}"):
            target = part / path.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
        pack(part, tmp_path / name)
    images, masks = tmp_path / "OpenImages_images.zip", tmp_path / "OpenImages_annotations.zip"
    text = converter("openimages", images, root / "metadata", out=tmp_path / "out", **counts)
    assert "val: 5 files are missing, e.g." in text.splitlines()[-1] and "train" not in text.split("not complete")[1]
    assert "is complete" in converter("openimages", images, masks, out=tmp_path / "out", **counts)


@pytest.mark.parametrize("form", ["release", "kaggle"])
def test_stanford_dogs(converter, tmp_path, form):
    root = layouts.dogs(tmp_path / "src")
    counts = dict(train=dict(images=2, classes=2), test=dict(images=3, boxes=4))
    if form == "release":
        archives = [pack(root / n, tmp_path / f"{n.lower()}.tar", f"{n}/") for n in ("Images", "Annotation")]
        for path in root.glob("*.mat"):
            shutil.copy(path, layouts.write_lines(tmp_path / "lists" / path.name, []))
        archives.append(pack(tmp_path / "lists", tmp_path / "lists.tar"))
    else:
        (root / "images").mkdir()
        (root / "Images").rename(root / "images/Images")
        archives = [pack(root, tmp_path / "archive.zip")]
    text = converter("stanford_dogs", *archives, out=tmp_path / "out", **counts)
    assert "is complete. train: 2 images, 2 classes; test: 3 images, 4 boxes." in text
    (tmp_path / "out/test_list.mat").unlink()
    text = converter("stanford_dogs", out=tmp_path / "out", **counts)
    assert one_line(text) and "test: list file" in text and "test_list.mat' does not exist" in text


@pytest.mark.parametrize("whole", [True, False])
def test_stanford_cars(converter, tmp_path, whole):
    root = layouts.cars(tmp_path / "src", whole)
    counts = {split: dict(images=2, boxes=2, classes=2) for split in ("train", "test")}
    if whole:
        sources = [pack(root / "car_ims", tmp_path / "car_ims.tgz", "car_ims/"), root / "cars_annos.mat"]
    else:
        sources = [pack(root / f"cars_{s}", tmp_path / f"cars_{s}.tgz", f"cars_{s}/") for s in counts]
        sources += [root / "devkit", root / "devkit/cars_test_annos_withlabels.mat"]
    assert "is complete" in converter("stanford_cars", *sources, out=tmp_path / "out", **counts)


def test_fgvc_aircraft(converter, tmp_path):
    root = layouts.aircraft(tmp_path / "src")
    archive = pack(root, tmp_path / "fgvc-aircraft-2013b.tar.gz", "fgvc-aircraft-2013b/data/")
    counts = dict(train=dict(images=1, boxes=1), val=dict(images=2, boxes=2), test=dict(images=1, classes=1))
    assert "is complete" in converter("fgvc_aircraft", archive, out=tmp_path / "out", **counts)
    (tmp_path / "out/data/images_variant_val.txt").unlink()
    text = converter("fgvc_aircraft", out=tmp_path / "out", **counts)
    assert one_line(text) and "val: list file" in text and "images_variant_val.txt' does not exist" in text


NEU = dict(train=dict(images=6, boxes=12, patches=1), val=dict(images=6, boxes=6, scratches=1))


@pytest.mark.parametrize("layout", [layouts.neu_flat, layouts.neu_split])
def test_neu_det(converter, tmp_path, layout):
    archive = pack(layout(tmp_path / "src"), tmp_path / "archive.zip", "NEU-DET/")
    text = converter("neu_det", archive, out=tmp_path / "out", **NEU)
    assert "is complete. train: 6 images, 12 boxes, 1 patches; val: 6 images, 6 boxes, 1 scratches." in text
    names = sorted(path.name for path in (tmp_path / "out/validation/annotations").iterdir())
    assert names == [f"{cls}_241.xml" for cls in layouts.NEU]


@requires_data("neu-det")
def test_neu_det_for_real(converter, tmp_path):
    text = converter("neu_det", DATA_DIR / "neu-det", out=tmp_path / "out")
    assert "train: 1440 images, 3335 boxes, 240 in smallest class, 240 in largest class" in text
    assert "val: 360 images, 854 boxes, 60 in smallest class, 60 in largest class" in text
    assert len(tree(tmp_path / "out")) == 3600


@requires_data("wsol-metadata", "cub-release-lists")
@pytest.mark.parametrize(
    ("name", "source", "missing"),
    [
        ("cub", "cub-release-lists", {"train": 5994, "test": 5794}),
        ("cubv2", "wsol-metadata", {"val": 1000}),
        ("imagenetv2", "wsol-metadata", {"val": 10000}),
        ("ilsvrc", "wsol-metadata", {"val": 50000}),
        ("openimages", "wsol-metadata", {"train": 29819, "val": 2500 + 3854 + 2500, "test": 5000 + 7632 + 5000}),
    ],
)
def test_counts_of_the_real_lists(converter, tmp_path, name, source, missing):
    """With the lists alone every count is right, and only the files of the images are missing."""
    text = converter(name, DATA_DIR / source, out=tmp_path / "out").splitlines()[-1]
    splits = [part.split(" files are missing, e.g. ")[0] for part in text.split(" is not complete: ")[1].split("; ")]
    assert splits == [f"{split}: {number}" for split, number in missing.items()]


def test_brain_tumor(converter, tmp_path):
    archive = pack(layouts.brain(tmp_path / "src"), tmp_path / "archive.zip")
    part = {"images": 8, "boxes": 6, "No Tumor": 2}
    assert "is complete" in converter("brain_tumor", archive, out=tmp_path / "out", train=part, val=part)
    (tmp_path / "out/Val/No Tumor").rename(tmp_path / "out/Val/NoTumor")
    text = converter("brain_tumor", out=tmp_path / "out", train=part, val=part)
    assert one_line(text) and "val: '" in text and "1 folder(s) that are not in metainfo" in text


# ---- what may go wrong ----------------------------------------------------------------------------


def test_repeating_changes_nothing(converter, tmp_path):
    archive = cub_archive(tmp_path)
    converter("cub", archive, out=tmp_path / "out", **CUB)
    before = tree(tmp_path / "out")
    text = converter("cub", archive, out=tmp_path / "out", **CUB)
    assert f"0 files put into {tmp_path / 'out'}, 9 were there" in text and tree(tmp_path / "out") == before
    converter("cub", tmp_path / "out", out=tmp_path / "out", **CUB)  # the folder itself as its source
    assert tree(tmp_path / "out") == before


@pytest.mark.parametrize("name", ["a.tgz", "a.tar", "a.zip"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.85])
def test_truncated_archive(converter, tmp_path, name, share):
    root = layouts.cub(tmp_path / "src")
    whole = pack(root, tmp_path / name, "CUB_200_2011/").read_bytes().rstrip(b"\0")
    cut = tmp_path / f"cut_{name}"
    cut.write_bytes(whole[: int(share * len(whole))])
    text = converter("cub", cut, out=tmp_path / "out", **CUB)
    assert one_line(text) and f"'{cut}' is damaged or cut off (" in text and "download it again" in text
    assert not list((tmp_path / "out").rglob("*.part"))
    for path, (size, _) in tree(tmp_path / "out").items() if (tmp_path / "out").exists() else ():
        assert size == (root / path).stat().st_size  # what is there is whole
    text = converter("cub", tmp_path / name, out=tmp_path / "out", **CUB)
    assert "is complete" in text


def test_damaged_archive(converter, tmp_path):
    path = pack(layouts.cub(tmp_path / "src"), tmp_path / "a.zip")
    content = bytearray(path.read_bytes())
    content[200:260] = bytes(60)
    path.write_bytes(content)
    text = converter("cub", path, out=tmp_path / "out", **CUB)
    assert one_line(text) and "a.zip' is damaged or cut off" in text


def test_broken_off_run_goes_on(converter, tmp_path):
    """Killed in the middle of a file, and after some."""
    archive = cub_archive(tmp_path)
    converter("cub", archive, out=tmp_path / "out", **CUB)
    image = tmp_path / "out/images/002.Bird_2/Bird_2_1.jpg"
    content = image.read_bytes()
    image.rename(f"{image}.part")
    Path(f"{image}.part").write_bytes(content[:100])
    (tmp_path / "out/bounding_boxes.txt").unlink()
    assert "2 files put" in converter("cub", archive, out=tmp_path / "out", **CUB)
    assert image.read_bytes() == content and not Path(f"{image}.part").exists()


def test_another_file_of_the_same_name_is_never_lost(converter, tmp_path):
    archive = cub_archive(tmp_path)
    mine = layouts.write_lines(tmp_path / "out/bounding_boxes.txt", ["mine"])
    text = converter("cub", archive, out=tmp_path / "out", **CUB)
    assert one_line(text) and "bounding_boxes.txt' has 5 bytes" in text and "move the wrong one away" in text
    assert mine.read_text() == "mine\n"


def test_missing_split_file(converter, tmp_path):
    root = layouts.cub(tmp_path / "src")
    (root / "train_test_split.txt").unlink()
    text = converter("cub", root, out=tmp_path / "out", **CUB)
    assert one_line(text.splitlines()[-1]) and "train_test_split.txt' does not exist" in text


def test_missing_source(converter, tmp_path):
    assert (
        converter("cub", tmp_path / "no.tgz", out=tmp_path / "out", **CUB) == f"'{tmp_path / 'no.tgz'}' does not exist"
    )


def test_archive_with_paths_that_lead_out(converter, tmp_path):
    path = tmp_path / "bad.tar"
    with tarfile.open(path, "w") as file:
        member = tarfile.TarInfo("images/../../../escaped.jpg")
        member.size = 3
        file.addfile(member, io.BytesIO(b"abc"))
    text = converter("cub", path, out=tmp_path / "out", **CUB)
    assert one_line(text) and "has a file outside its own folder, 'images/../../../escaped.jpg'" in text
    assert not list(tmp_path.rglob("escaped.jpg"))


def test_lists_with_paths_that_lead_out(converter, tmp_path):
    """ImageNetV2's lists name the files that an archive is unpacked to."""
    root = layouts.imagenetv2(tmp_path / "src")
    lists = root / "metadata/ILSVRC/val"
    with open(lists / "image_ids.txt", "a") as file:
        file.write("val2/../../escaped.jpeg\n")
    layouts.write_lines(lists / "mapping.txt", ["../../escaped.jpeg, 0/evil.jpeg"])
    layouts.write_image(root / "val2/0/evil.jpeg", size=(41, 30))
    text = converter("imagenetv2", root / "val2", root / "metadata", out=tmp_path / "out/data")
    assert one_line(text.splitlines()[-1]) and "a list names 'val2/../../escaped.jpeg', which is outside" in text
    assert not list(tmp_path.rglob("escaped.jpeg"))


def test_rubbish_of_other_systems_is_left_out(converter, tmp_path):
    root = layouts.cub(tmp_path / "src")
    for name in ("__MACOSX/images/001.Bird_1/._Bird_1_1.jpg", "images/001.Bird_1/.DS_Store"):
        layouts.write_lines(root / name, ["x"])
    assert "is complete" in converter("cub", pack(root, tmp_path / "a.zip"), out=tmp_path / "out", **CUB)
    assert len(tree(tmp_path / "out")) == 9
