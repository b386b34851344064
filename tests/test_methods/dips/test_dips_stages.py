"""DiPS's stages: proposals that go on after a stop, each part trained in its stage, one model at the end."""

from __future__ import annotations

import copy

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from mmwsol.compat import load_checkpoint_file
from mmwsol.datasets.offline_cache import read_manifest
from mmwsol.engine.stages import run_stages, stage_configs
from mmwsol.methods.dips import ProposalWriter
from mmwsol.methods.dips.proposals import read_proposals

ARCH = dict(embed_dims=16, num_layers=2, num_heads=4, feedforward_channels=32)


class Stopped(Exception):
    """A run was stopped on purpose."""


def config(data_root, **sampler) -> Config:
    load, pack = dict(type="mmwsol.LoadImage"), dict(type="mmwsol.PackLocInputs")
    keys = ["proposal_mask", "proposal_map", "raw_img"]
    decoder_pipeline = [
        load,
        dict(type="mmwsol.RandomFlip"),
        dict(type="mmwsol.LoadProposals", cache_dir="stage://proposals/cache", top_k=2),
        dict(pack, algorithm_keys=keys),
    ]
    dataset = dict(type="mmwsol.Shapes", data_root=str(data_root), image_size=32, split="train", num_images=12)
    writer = dict(type="mmwsol.ProposalWriter", min_area=0.05, blur_kernel=9, blur_sigma=8.0)
    head = dict(
        type="mmwsol.DiPSHead",
        num_classes=10,
        in_channels=16,
        num_cls_tokens=2,
        channels=(8, 4),
        train_part="classifier",
        sampler=dict(num_fg=20, num_bg=20, **sampler),
        loss_crf=dict(type="mmwsol.DenseCRFLoss", loss_weight=1e-6),
    )
    backbone = dict(type="mmwsol.DiPSViT", arch=ARCH, img_size=32, patch_size=8, num_cls_tokens=2)
    return Config(
        dict(
            default_scope="mmpretrain",
            model=dict(type="mmwsol.ImageLocalizer", backbone=backbone, head=head, frozen=["backbone.*"]),
            train_dataloader=dict(
                batch_size=4,
                num_workers=0,
                dataset=dict(dataset, pipeline=[load, pack]),
                sampler=dict(type="DefaultSampler", shuffle=True),
            ),
            train_cfg=dict(by_epoch=True, max_epochs=1),
            optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.1, momentum=0.9, nesterov=True)),
            custom_hooks=[dict(type="mmwsol.EpochSeedHook")],
            randomness=dict(seed=1),
            log_level="ERROR",
            stages=[
                dict(name="classifier"),
                dict(name="proposals", train_cfg=dict(_delete_=True, type="mmwsol.OfflineLoop", writer=writer)),
                dict(
                    name="decoder",
                    model=dict(head=dict(train_part="decoder")),
                    train_dataloader=dict(dataset=dict(pipeline=decoder_pipeline)),
                    train_cfg=dict(max_epochs=2),
                ),
            ],
        )
    )


def weights(path) -> dict[str, torch.Tensor]:
    return load_checkpoint_file(str(path))["state_dict"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Run all stages without a break: the config and the folder."""
    folder = tmp_path_factory.mktemp("dips")
    cfg = config(folder / "shapes")
    run_stages(stage_configs(cfg), folder / "run")
    return cfg, folder / "run"


def test_cache(whole):
    _, folder = whole
    cache = folder / "proposals/cache"
    files = sorted(cache.rglob("*.npz"))
    manifest = read_manifest(cache)
    assert len(files) == manifest["num_images"] == 12 and manifest["complete"]
    assert manifest["params"]["map_set"] == "1_4_heads_and_mean" and manifest["params"]["min_area"] == 0.05
    summary = manifest["summary"]
    assert summary["proposals_per_image"] >= 1
    assert summary["recall_at_1"] <= summary["recall_at_2"] <= summary["recall_at_5"] <= summary["recall_of_all"]
    sheet = cv2.imread(str(cache.parent / "contact_sheet.png"))
    assert sheet.shape == (22 + 12 * 164, 4 + 2 * 164, 3)  # an image a row, two panels each
    assert [file.name for file in cache.iterdir() if file.is_file()] == ["manifest.json"]
    for file in files:
        written = read_proposals(file)
        assert (np.diff(written.scores) <= 0).all() and (written.boxes >= 0).all() and (written.boxes <= 32).all()
        assert set(written.map_index.tolist()) <= set(range(5))


def test_each_stage_trains_its_part(whole):
    _, folder = whole
    start, end = weights(folder / "classifier/epoch_1.pth"), weights(folder / "decoder/epoch_2.pth")
    assert start.keys() == end.keys()
    for name, value in start.items():  # batch norm's statistics too
        assert torch.equal(value, end[name]) != name.startswith("head.decoder."), name
    assert end["head.decoder.0.conv1.1.num_batches_tracked"] == 6


def test_last_checkpoint_is_the_whole_model(whole):
    cfg, folder = whole
    init_default_scope("mmpretrain")
    model = MODELS.build(stage_configs(cfg)[-1].cfg.model).eval()
    model.load_state_dict(weights(folder / "decoder/epoch_2.pth"))
    model.map_to_box.threshold.fill_(0.5)
    with torch.no_grad():
        (sample,) = model(torch.randn(1, 3, 32, 32), mode="predict")
    assert sample.pred_score.shape == (10,) and sample.pred_maps.maps.shape == (1, 32, 32)
    assert sample.pred_instances.labels.tolist() == [-1]


def test_stopped_proposals_go_on_and_are_the_same(whole, tmp_path, monkeypatch):
    cfg, folder = whole
    process, calls = ProposalWriter.process, []

    def stop_at_third(self, model, batch):
        calls.append(len(batch["inputs"]))
        if len(calls) == 3:
            raise Stopped
        return process(self, model, batch)

    monkeypatch.setattr(ProposalWriter, "process", stop_at_third)
    with pytest.raises(Stopped):
        run_stages(stage_configs(cfg), tmp_path)
    done = sorted((tmp_path / "proposals/cache").rglob("*.npz"))
    assert len(done) == 8 and not (tmp_path / "decoder").exists()
    run_stages(stage_configs(cfg), tmp_path, resume="auto")
    assert calls[3:] == [4]  # the four images that were missing
    for name in sorted(path.relative_to(folder) for path in (folder / "proposals/cache").rglob("*.npz")):
        first, second = read_proposals(folder / name), read_proposals(tmp_path / name)
        for one, two in zip(first, second, strict=True):
            np.testing.assert_array_equal(one, two)
    manifests = [read_manifest(root / "proposals/cache")["summary"] for root in (folder, tmp_path)]
    assert manifests[0] == manifests[1]
    ends = [weights(root / "decoder/epoch_2.pth") for root in (folder, tmp_path)]
    for name, value in ends[0].items():
        assert torch.equal(value, ends[1][name]), name


def test_other_settings_are_refused(whole, tmp_path):
    cfg, folder = whole
    cfg = copy.deepcopy(cfg)
    cfg.stages[1].train_cfg.writer.min_area = 0.3
    cfg.stages[1].train_cfg.cache_dir = str(folder / "proposals/cache")
    with pytest.raises(ValueError, match=r"params.min_area \(0.05 -> 0.3\)"):
        run_stages(stage_configs(cfg), tmp_path)


def test_missing_cache_names_the_stage(whole, tmp_path):
    cfg, _ = whole
    cfg = copy.deepcopy(cfg)
    del cfg.stages[1]
    cfg.stages[1].train_dataloader.dataset.pipeline[2].cache_dir = str(tmp_path / "proposals/cache")
    with pytest.raises(ValueError, match=r"here probably 'proposals': run it first with --stage"):
        run_stages(stage_configs(cfg), tmp_path)
