"""Offline stages: what is in the cache, whatever happens on the way, and what is refused."""

from __future__ import annotations

import json
import multiprocessing
import time
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from ranks import run_ranks

from mmwsol.datasets.offline_cache import MANIFEST
from mmwsol.engine.dry_run import dry_run
from mmwsol.engine.offline import OfflineLoop
from mmwsol.engine.stage_paths import resolve_stage_paths
from mmwsol.engine.stages import run_stages, stage_configs
from mmwsol.methods.locloc import PseudoMaskWriter
from mmwsol.registry import TASK_UTILS

NUMBER = 24
BROKEN = ("a/004.png", "b/011.png")  # empty, and no image


@TASK_UTILS.register_module(force=True)
class SlowMaskWriter(PseudoMaskWriter):
    """Takes its time, so that a kill hits the middle."""

    def finish(self, job):
        time.sleep(0.05)
        return super().finish(job)


def make_images(folder: Path) -> None:
    rng = np.random.default_rng(0)
    items = []
    for i in range(NUMBER):
        name = f"{'ab'[i % 2]}/{i:03d}.png"
        path = folder / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image = cv2.resize(rng.integers(0, 256, (5, 5, 3), np.uint8), (40, 32), interpolation=cv2.INTER_CUBIC)
        path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
        boxes = [[4, 4, 30, 28]] if i != 1 else []
        items.append(dict(img_path=name, gt_label=i % 2, gt_bboxes_ori=boxes))
    (folder / "images" / BROKEN[0]).write_bytes(b"")
    (folder / "images" / BROKEN[1]).write_text("not an image")
    (folder / "list.json").write_text(json.dumps(dict(metainfo=dict(classes=["x", "y"]), data_list=items)))


def config(folder: Path, writer: str = "PseudoMaskWriter", workers: int = 0, **options) -> Config:
    pipeline = [
        dict(type="mmwsol.LoadImage"),
        dict(type="mmwsol.Resize", scale=(32, 32), backend="cv2"),
        dict(type="mmwsol.PackLocInputs"),
    ]
    dataset = dict(
        type="mmwsol.BaseLocDataset",
        data_root=str(folder),
        ann_file="list.json",
        data_prefix=dict(img_path="images"),
        pipeline=pipeline,
    )
    loader = dict(dataset=dataset, batch_size=3, num_workers=workers, sampler=dict(type="DefaultSampler", shuffle=True))
    return Config(
        dict(
            default_scope="mmpretrain",
            custom_imports=dict(imports=["mmwsol.registry"], allow_failed_imports=False),
            randomness=dict(seed=0),
            model=dict(
                type="mmwsol.ImageLocalizer",
                backbone=dict(
                    type="mmwsol.TapViT",
                    arch=dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32),
                    img_size=32,
                    patch_size=4,
                ),
                head=dict(type="mmwsol.ClsTokenHead", num_classes=2, in_channels=16),
            ),
            optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.01)),
            param_scheduler=dict(type="CosineAnnealingLR", begin=1, T_max=3, convert_to_iter_based=True),
            train_dataloader=loader,
            stages=[
                dict(
                    name="masks",
                    train_cfg=dict(
                        type="mmwsol.OfflineLoop",
                        log_interval=0.1,
                        writer=dict(
                            type=f"mmwsol.{writer}",
                            **{"preset": "paper", "delta1": 0.3, **options},
                        ),
                    ),
                )
            ],
        )
    )


def run(folder: Path, work_dir: Path, **options) -> Path:
    run_stages(stage_configs(config(folder, **options)), work_dir)
    return work_dir / "masks/cache"


def contents(cache: Path) -> dict[str, bytes]:
    return {str(p.relative_to(cache)): p.read_bytes() for p in sorted(cache.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The images and the cache of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("images")
    make_images(folder)
    return folder, run(folder, folder / "run")


def killed_run(folder: Path, work_dir: Path) -> None:
    run(folder, work_dir, writer="SlowMaskWriter")


def rank_run(rank: int, folder: Path, images: Path, work_dir: Path) -> None:
    run(images, work_dir)


def test_one_file_per_image_and_a_manifest(whole):
    _, cache = whole
    files = contents(cache)
    manifest = json.loads(files.pop("manifest.json"))
    names = {f"{'ab'[i % 2]}/{i:03d}.png" for i in range(NUMBER)} - set(BROKEN)
    assert set(files) == names
    for name in names:
        mask = cv2.imread(str(cache / name), cv2.IMREAD_UNCHANGED)
        assert mask.shape == (32, 32) and set(np.unique(mask)) <= {0, 255}
    assert manifest["complete"] and manifest["num_images"] == NUMBER and set(manifest["failed"]) == set(BROKEN)
    assert "is empty (0 bytes)" in manifest["failed"][BROKEN[0]]
    assert manifest["params"]["delta1"] == 0.3 and len(manifest["weights"]) == 64
    summary = manifest["summary"]
    assert summary["num_samples"] == NUMBER - 2 and 0 < summary["mask_area_median"] < 1
    assert {"iou_attention", "iou_seed", "iou_mask", "hit_mask"} <= set(summary)
    sheet = cv2.imread(str(cache.parent / "contact_sheet.png"))
    assert sheet.shape == (22 + (NUMBER - 2) * 164, 4 + 4 * 164, 3)  # an image a row, four panels each
    [log] = cache.parent.glob("*/*.log")
    text = log.read_text()
    assert f"1 of {NUMBER - 2} images of contact_sheet.png have no ground-truth boxes to draw." in text
    assert f"image '{BROKEN[1]}' is left out" in text and f"/{NUMBER - 2} images, " in text and "images/s" in text


def test_killed_run_goes_on_to_the_same_bytes(whole, tmp_path):
    folder, expected = whole
    process = multiprocessing.get_context("spawn").Process(target=killed_run, args=(folder, tmp_path))
    process.start()
    cache = tmp_path / "masks/cache"
    deadline = time.monotonic() + 120
    while len(list(cache.rglob("*.png"))) < 6:
        assert process.is_alive() and time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.join()
    before = {p: p.stat().st_mtime_ns for p in cache.rglob("*.png")}
    assert 6 <= len(before) < NUMBER - 2
    assert not json.loads((cache / "manifest.json").read_text())["complete"]
    assert all(cv2.imread(str(path)) is not None for path in before)  # whole files only
    # a kill between the two steps of a write
    missing = next(p for p in expected.rglob("*.png") if not (cache / p.relative_to(expected)).exists())
    part = cache / missing.relative_to(expected)
    part.with_name(part.name + ".part").write_bytes(b"\x89PN")
    # The writer's name is part of the manifest, its speed is not.
    run(folder, tmp_path, writer="SlowMaskWriter")
    ours, theirs = contents(cache), contents(expected)
    assert ours.pop("manifest.json").replace(b"SlowMaskWriter", b"PseudoMaskWriter") == theirs.pop("manifest.json")
    assert ours == theirs
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in before.items())  # nothing was made again


def test_two_ranks_make_the_same_bytes(whole, tmp_path):
    folder, expected = whole
    run_ranks(rank_run, 2, tmp_path, folder, tmp_path / "run")
    assert contents(tmp_path / "run/masks/cache") == contents(expected)


def test_workers_and_new_images(whole, tmp_path):
    folder, expected = whole
    cache = run(folder, tmp_path, workers=2)
    assert contents(cache) == contents(expected)
    (tmp_path / "masks/stage_complete.json").unlink()
    (cache / "a/008.png").unlink()
    stamp = (cache / "a/006.png").stat().st_mtime_ns
    assert contents(run(folder, tmp_path)) == contents(expected)
    assert (cache / "a/006.png").stat().st_mtime_ns == stamp


def test_other_settings_are_refused(whole, tmp_path):
    folder, expected = whole
    shared = dict(train_cfg=dict(cache_dir=str(expected)))
    before = contents(expected)

    def change(**changes):
        cfg = config(folder)
        cfg.stages[0]["train_cfg"].update(shared["train_cfg"])
        cfg.merge_from_dict(changes, allow_list_keys=True)
        return stage_configs(cfg)

    for changes, message in (
        ({"stages.0.train_cfg.writer.delta1": 0.4}, r"params.delta1 \(0.3 -> 0.4\)"),
        ({"randomness.seed": 1}, r"weights \("),
        ({"train_dataloader.dataset.pipeline.1.scale": (16, 16)}, r"pipeline"),
    ):
        with pytest.raises(ValueError, match=f"made with other settings; changed since: .*{message}.*Delete it"):
            run_stages(change(**changes), tmp_path / "run")
    run_stages(change(), tmp_path / "same")  # complete: nothing to do
    assert contents(expected) == before
    (tmp_path / "other").mkdir()
    (tmp_path / "other/file").touch()
    shared["train_cfg"]["cache_dir"] = str(tmp_path / "other")
    with pytest.raises(ValueError, match="has files but no manifest.json"):
        run_stages(change(), tmp_path / "run")


@pytest.mark.parametrize("content", [b"", b"\xff", b"[" * 100000, b"[]", b'{"failed": 3}'])
def test_a_damaged_manifest_is_named(tmp_path, content):
    loop = SimpleNamespace(cache=SimpleNamespace(root=tmp_path))
    (tmp_path / MANIFEST).write_bytes(content)
    with pytest.raises(
        ValueError, match=f"{MANIFEST}' is damaged: .*Delete the folder '{tmp_path}', or choose another"
    ):
        OfflineLoop._check_manifest(loop, {})


def test_no_readable_image_is_an_error(tmp_path):
    make_images(tmp_path)
    for path in (tmp_path / "images").rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="no image could be read; the first: .*is empty"):
        run(tmp_path, tmp_path / "run")


def test_images_that_are_gone_for_a_while_stop_the_stage(tmp_path):
    make_images(tmp_path)
    lost = sorted((tmp_path / "images/a").glob("*.png"))[2:]
    (tmp_path / "away").mkdir()
    for path in lost:
        path.rename(tmp_path / "away" / path.name)
    assert len(lost) >= 10
    with pytest.raises(
        ValueError, match=rf"{len(lost) + 1} of {NUMBER} images cannot be read, more than max_failed=0.1"
    ):
        run(tmp_path, tmp_path / "run")
    assert not json.loads((tmp_path / "run/masks/cache" / MANIFEST).read_text()).get("complete")
    for path in lost:
        (tmp_path / "away" / path.name).rename(path)
    cache = run(tmp_path, tmp_path / "run")
    assert set(json.loads((cache / MANIFEST).read_text())["failed"]) == set(BROKEN)


def test_two_images_of_one_place(tmp_path):
    make_images(tmp_path)
    annotations = json.loads((tmp_path / "list.json").read_text())
    annotations["data_list"].append(dict(img_path="a/000.jpg", gt_label=0))
    (tmp_path / "list.json").write_text(json.dumps(annotations))
    with pytest.raises(ValueError, match="'a/000.png' and 'a/000.jpg' have the same place"):
        run(tmp_path, tmp_path / "run")


def test_dry_run_writes_nothing(whole, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    [stage] = stage_configs(config(whole[0]))
    lines = dry_run(stage)
    assert any(line.startswith(f"train: {NUMBER} images") for line in lines)
    assert list(tmp_path.iterdir()) == []


def test_paths_of_earlier_stages():
    stages = [
        dict(name="masks"),
        dict(name="train", pipeline=[dict(mask_root="stage://masks/cache"), ("stage://masks",)]),
    ]
    cfg = stage_configs(Config(dict(stages=stages)))[1].cfg
    resolved = resolve_stage_paths(cfg, "work")
    assert resolved.pipeline[0].mask_root == str(Path("work/masks/cache")) and resolved.pipeline[1] == ("work/masks",)
    assert cfg.pipeline[0].mask_root == "stage://masks/cache"
    stages[1]["pipeline"][0]["mask_root"] = "stage://mask/cache"
    with pytest.raises(ValueError, match="'stage://mask/cache', but the stages before it are masks"):
        stage_configs(Config(dict(stages=stages)))
