"""Configs of checkpoints: those that we ship are read back and used, all else that could run code is refused."""

from __future__ import annotations

import inspect
from random import Random

import bright
import pytest
import torch
from mmengine.config import Config

from mmwsol.apis import WSOLInferencer, init_model
from mmwsol.apis.stored_config import LISTED, inference_config
from mmwsol.engine.stages import stage_configs
from mmwsol.methods.locloc.head import GENERATORS
from mmwsol.utils.config import config_root, list_cells, list_configs, load_config
from mmwsol.utils.config_text import read_config_text


def types_of(value):
    if isinstance(value, dict):
        found = {value["type"]} if isinstance(value.get("type"), str) else set()
        return found.union(*map(types_of, value.values()))
    return set().union(*map(types_of, value)) if isinstance(value, (list, tuple)) else set()


def test_all_shipped_configs_are_written_read_and_used():
    """And the list of foreign types has none that no config needs. Of the cells of sweeps some are enough."""
    used = set()
    for name in [*list_configs(), *sorted(list_cells())[::9]]:
        for stage in stage_configs(load_config(name)):
            text = Config(stage.cfg.to_dict(), format_python_code=False).pretty_text  # the formatter takes seconds
            read = read_config_text(text, name)
            assert read.to_dict() == stage.cfg.to_dict(), name
            kept = inference_config(read, name)
            assert kept.model.head == read.model.head and kept.test_dataloader.dataset.pipeline, name
            used |= types_of(kept.to_dict())
    assert {name for name in used if not name.startswith("mmwsol.")} == set(LISTED)


@pytest.mark.parametrize("file", sorted((config_root() / "mmdet").glob("*.py")), ids=lambda file: file.stem)
def test_detectors_need_their_config(file):
    pytest.importorskip("mmdet")  # whose configs they start from
    with pytest.raises(ValueError, match="Pass the config too"):
        inference_config(Config.fromfile(file), "detector.pth")


MODEL = "type='mmwsol.ImageLocalizer',"
LOAD = "dict(type='mmwsol.LoadImage'),"
RUN = "__import__('os').mkdir('ran')"
HOSTILE = {
    "evaluated option": (LOAD, LOAD + f'dict(type="torchvision/ConvertImageDtype", dtype="float32, {RUN}"),'),
    "torchvision with a scope": (LOAD, LOAD + f'dict(type="mmpretrain.torchvision/ToTensor", x="{RUN}"),'),
    "another registered transform": (LOAD, LOAD + "dict(type='mmpretrain.Albumentations', transforms=[]),"),
    "package of a type": ("type='mmwsol.BrightBackbone'", "type='stranger.Model'"),
    "package of a transform": (LOAD, LOAD + "dict(type='stranger.Step'),"),
    "package of a loader": (LOAD, "dict(type='stranger.LoadImage'),"),
    "package of a data set": ("type='mmwsol.LocListDataset'", "type='stranger.Data'"),
    "package of a scope": ("default_scope = 'mmpretrain'", "default_scope = 'stranger'"),
    "package of an inner scope": (MODEL, MODEL + "_scope_='stranger',"),
    "package inside an option": (MODEL, MODEL + "train_cfg=dict(augments=[dict(type='stranger.Mixup')]),"),
    "function as a type": ("type='mmwsol.BrightBackbone'", "type='os.mkdir', path='ran'"),
    "number as a type": ("type='mmwsol.BrightBackbone'", "type=1"),
    "list as a type": ("type='mmwsol.BrightBackbone'", "type=['mmwsol.BrightBackbone']"),
    "dots in a type": ("type='mmwsol.BrightBackbone'", "type='mmwsol.models.weights.load_backbone'"),
    "detector that reads a config file": (MODEL, "type='mmwsol.WSOLDetector', localizer='stranger.py',"),
    "detector inside": ("type='mmwsol.BrightBackbone'", "type='mmwsol.WSOLDetector', localizer='stranger.py'"),
    "any mmpretrain model": ("type='mmwsol.BrightBackbone'", "type='mmpretrain.HuggingFaceClassifier'"),
    "option of a base class": (
        "type='mmwsol.BrightBackbone'",
        "type='mmwsol.TapViT', arch='b', patch_cfg=dict(conv_type='stranger.Conv')",
    ),
    "option of a listed type": (
        "type='mmwsol.BrightBackbone'",
        "type='mmpretrain.ResNet', depth=18, conv_cfg=dict(type='stranger.Conv')",
    ),
    "network from elsewhere": ("type='mmwsol.BrightBackbone'", "type='mmwsol.TimmViT', model_name='hf-hub:a/b'"),
    "file of a timm network": (
        "type='mmwsol.BrightBackbone'",
        "type='mmwsol.TimmViT', model_name='vit_tiny_patch16_224', checkpoint_path='stranger.pth'",
    ),
    "address": (LOAD, "dict(type='mmwsol.LoadImage', color_type='http://stranger.example'),"),
    "statement": ("model = dict", f"x = {RUN}\nmodel = dict"),
    "call in a value": ("num_classes=3", f"num_classes={RUN}"),
    "call in a key": ("num_classes=3", f"num_classes={{{RUN}: 1}}"),
    "call in an f-string": ("num_classes=3", f'num_classes=f"{{{RUN}}}"'),
    "comprehension": ("num_classes=3", f"num_classes=[{RUN} for i in [1]]"),
    "other call of dict": ("num_classes=3", f"num_classes=dict([{RUN}])"),
    "zero byte": ("num_classes=3", "num_classes=3\0"),
    "thousands of brackets": ("num_classes=3", "num_classes=" + 5000 * "["),
    "thousands of signs": ("num_classes=3", "num_classes=" + 20000 * "-" + "1"),
    "key without a hash": ("num_classes=3", "num_classes={[1]: 2}"),
    "no model": ("model = dict", "other = dict"),
    "model that is text": (bright.CONFIG, "model = 'stranger.py'"),
    "base config": ("model = dict", "_base_ = 'stranger.py'\nmodel = dict"),
    "stages": ("model = dict", "stages = [dict(name='a', model=dict(type='stranger.Model'))]\nmodel = dict"),
    "imports": ("model = dict", "custom_imports = dict(imports=['stranger'])\nmodel = dict"),
}
IGNORED = ("base config", "stages", "imports")  # parts that nothing reads


@pytest.fixture
def stranger(tmp_path, monkeypatch):
    """Stand in a folder with a package and a config that leave a trace when they are run."""
    (tmp_path / "stranger").mkdir()
    for file in ("stranger/__init__.py", "stranger/registry.py", "stranger.py"):
        (tmp_path / file).write_text("import os\nos.mkdir('ran')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", HOSTILE)
def test_stored_configs_of_strangers_run_nothing(stranger, name):
    old, new = HOSTILE[name]
    assert old in bright.CONFIG
    path = bright.checkpoint(stranger / "forged.pth", bright.CONFIG.replace(old, new))
    for use in (lambda: init_model(None, path, device="cpu"), lambda: WSOLInferencer(weights=path, device="cpu")):
        if name in IGNORED:
            use()
        else:
            with pytest.raises(ValueError, match=r"the config in .*forged.pth"):
                use()
        assert not (stranger / "ran").exists()


def test_the_traces_are_left_by_what_the_guard_stops(stranger, monkeypatch):
    """Otherwise the test above would show nothing."""
    monkeypatch.setenv("MMWSOL_TRUST_CHECKPOINTS", "1")
    path = bright.checkpoint(stranger / "forged.pth", bright.CONFIG.replace(*HOSTILE["evaluated option"]))
    WSOLInferencer(weights=path, device="cpu")
    assert (stranger / "ran").exists()


VIT = """type='mmwsol.TapViT', img_size=32, patch_size=8, {}, arch=dict(
    embed_dims=8, num_layers=1, num_heads=2, feedforward_channels=8)"""


@pytest.mark.parametrize("trusted", ["0", "1"])
@pytest.mark.parametrize(
    ("old", "today"),
    [
        ("stem_channels=(2, 3, 4)", "stem=dict(type='mmwsol.ConvStem', channels=(2, 3, 4))"),
        ("stem_channels=None", "stem=None"),
    ],
)
def test_stems_as_older_versions_stored_them(tmp_path, monkeypatch, old, today, trusted):
    monkeypatch.setenv("MMWSOL_TRUST_CHECKPOINTS", trusted)
    head = "type='mmwsol.ConvCAMHead', in_channels=8"
    text = bright.CONFIG.replace("type='mmwsol.BrightHead'", head)
    texts = [text.replace("type='mmwsol.BrightBackbone'", VIT.format(stem)) for stem in (old, today)]
    model = init_model(Config.fromstring(texts[1], ".py"), device="cpu")
    path = tmp_path / "old.pth"
    torch.save(dict(meta=dict(cfg=texts[0]), state_dict=model.state_dict()), path)
    read, images = init_model(None, path, device="cpu"), torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(read(images), model(images))
    assert WSOLInferencer(weights=path, device="cpu")(bright.picture())["predictions"]


def test_weights_of_timm_are_not_downloaded():
    text = "model = dict(type='mmwsol.TimmViT', model_name='vit_tiny_patch16_224', pretrained=True)"
    assert inference_config(read_config_text(text, "a.pth"), "a.pth").model.pretrained is False


@pytest.mark.parametrize("meta", [None, 1, "text", [1], dict(cfg=1), dict(cfg=None), dict(cfg="1"), dict(cfg="a = 1")])
def test_damaged_records_are_named(tmp_path, meta):
    torch.save(dict(meta=meta, state_dict={}, message_hub=meta), tmp_path / "odd.pth")
    with pytest.raises(ValueError, match="odd.pth"):
        init_model(None, tmp_path / "odd.pth", device="cpu")


VALUES = [
    {"head.fc.": dict(lr_mult=0.1)},
    {"head.fc.": {"x.y": 1, "z": 2}},
    {1: 2, "": 3, "x-y": [{"a.b": ()}]},
    {"a": {1, 2}, "b": set(), "c": b"x", "d": (1,), "e": float("-inf"), "f": 1e-05, "g": None, "h": "x\ny\"'"},
]


@pytest.mark.parametrize("value", VALUES, ids=str)
def test_every_form_that_mmengine_writes_is_read(value):
    for config in (Config(dict(a=value)), Config(dict(a=[value]))):
        assert read_config_text(config.pretty_text, "here").to_dict() == config.to_dict()
    if all(isinstance(key, str) for key in value):
        assert read_config_text(Config(value).pretty_text, "here").to_dict() == value


TEXTS = (
    "",
    "a",
    "it's",
    'say "x"',
    "a'b\"c",
    "back\\slash",
    "a\nb",
    "\t",
    "é 漢 😀",
    "'''",
    "{{ x }}",
    "#c",
    "1e5",
    "\0",
)
NAMES = ("a", "b1", "_c", "é", "inf", "dict", "self", "type")
ANY_KEY = (*NAMES, "head.fc.", "x-y", "", "0a", 1, -2, 1.5, (1, "a"))
PLAIN = (0, 1, -1, 10**20, True, 0.0, -0.0, 1e-5, -1e-300, 1e16, float("inf"), float("-inf"), None, b"x\0'", {1}, set())


def random_value(random, depth):
    """Make a value of anything that a config may hold."""
    kind = random.randrange(6 if depth else 2)
    if kind < 2:
        return random.choice((TEXTS, PLAIN)[kind])
    items = [random_value(random, depth - 1) for _ in range(random.randrange(4))]
    if kind < 4:
        return items if kind == 2 else tuple(items)
    return {random.choice(ANY_KEY if kind == 4 else NAMES): item for item in items}


def test_random_values_are_read_as_mmengine_wrote_them():
    """Keys that are words of Python or have quotes are not among them: what mmengine writes then is no Python."""
    random = Random(0)
    for _ in range(600):
        config = Config({random.choice(NAMES): random_value(random, 3) for _ in range(3)}, format_python_code=False)
        assert read_config_text(config.pretty_text, "here").to_dict() == config.to_dict(), config.to_dict()
    nan = read_config_text(Config(dict(a=[float("nan")]), format_python_code=False).pretty_text, "here").a[0]
    assert nan != nan


def test_a_config_as_the_work_directory_has_it(tmp_path):
    """Formatted by ``dump``."""
    cfg = load_config("cam_resnet50_cub")
    cfg.dump(tmp_path / "dumped.py")
    assert read_config_text((tmp_path / "dumped.py").read_text(), "here").to_dict() == cfg.to_dict()


def test_options_of_generators_are_listed():
    for kind, generator in GENERATORS.items():
        assert LISTED[kind] == set(inspect.signature(generator).parameters) - {"in_channels"}
