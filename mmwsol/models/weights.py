"""Weights of official releases: the registry of what is known, conversion of names, and loading.

A release is registered beside the network it belongs to: plain networks in :mod:`mmwsol.models.official_networks`,
those of a method in the ``weights.py`` of its folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from mmengine.logging import MMLogger
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from mmwsol.models.weight_values import check_values, load_tensors
from mmwsol.models.wrapped_networks import wrapped_names
from mmwsol.registry import MODELS
from mmwsol.weight_files import CONTAINERS, check_names, take_weights

if TYPE_CHECKING:
    from mmwsol.models.localizer import ImageLocalizer

# Levels of :class:`Release`.
PLAIN_NETWORK = 0
METHOD = 1
METHOD_ON_METHOD = 2

# A block of a network: the list that it is in, and its number.
_BLOCK = re.compile(r"((?:.*?\.)?(?:layers|layer\d+|blocks))\.\d+\.")


@dataclass(frozen=True)
class Release:
    """An official release whose weights can be converted.

    Attributes:
        name: Its name for ``convert_official.py --source``.
        rename: Returns the name of a weight in :class:`mmwsol.models.ImageLocalizer`; '' drops the weight,
            None means that the release has no such name.
        recognize: Tells by names and shapes of several tensors whether weights, all of whose names ``rename`` knows,
            are of this release. None: they cannot be told, and are converted only where the release is named.
        level: ``METHOD_ON_METHOD`` is asked first, ``PLAIN_NETWORK`` last: a release has all the names of the
            network that it builds on. Those of one level must exclude each other. Defaults to ``METHOD``.
        check: Raises a ``ValueError`` if values of the weights, not yet renamed, are wrong. Defaults
            to None: nothing is checked.
        prepare: Returns the weights, not yet renamed, in the form that the network has here. Defaults to None.
    """

    name: str
    rename: Callable[[str], str | None]
    recognize: Callable[[Mapping[str, Tensor]], bool] | None
    level: int = METHOD
    check: Callable[[Mapping[str, Tensor]], None] | None = None
    prepare: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = None


_RELEASES: dict[str, Release] = {}


def register_release(release: Release) -> None:
    """Make a release known.

    Raises:
        ValueError: If there is one of this name already.
    """
    if release.name in _RELEASES:
        raise ValueError(f"There are two official releases called {release.name!r}: rename one of them.")
    _RELEASES[release.name] = release


def known_releases() -> dict[str, Release]:
    """Return all releases by name, in the order in which they are asked."""
    MODELS.import_from_location()  # networks and methods register theirs when they are imported
    return {release.name: release for release in sorted(_RELEASES.values(), key=lambda r: (-r.level, r.name))}


def convert_official(state_dict: Mapping, source: str) -> dict[str, Tensor]:
    """Rename the weights of an official release to those of :class:`mmwsol.models.ImageLocalizer`.

    Containers (``state_dict``, ``model``, ``teacher``, ``fusioscore_net``) are unwrapped and a leading ``module.`` is
    removed first.

    Args:
        state_dict: The loaded file of the release.
        source: Name of the release: a plain network of :mod:`mmwsol.models.official_networks` ('deit', 'dino',
            ...) or one of the ``weights.py`` of a method ('tscam', 'trt', ...), which say what becomes of each weight.

    Returns:
        ``backbone.*`` and ``head.*``, as far as the release has them.

    Raises:
        ValueError: If the source is unknown (the message names all), a weight has a name that the release does not
            use, or a value is not what it must be.
    """
    releases = known_releases()
    if source not in releases:
        raise ValueError(f"Unknown source {source!r}; known: {', '.join(sorted(releases))}.")
    release = releases[source]
    weights = unwrap(state_dict)
    if release.check is not None:
        release.check(weights)
    if release.prepare is not None:
        weights = release.prepare(weights)
    converted, unknown = {}, []
    for name, value in weights.items():
        new = release.rename(name)
        if new is None:
            unknown.append(name)
        elif new:
            converted[new] = value
    if unknown or not converted:
        guess = guess_source(weights)
        raise ValueError(
            f"The weights do not have the names of a {source!r} release: {len(converted)} recognized, "
            f"unexpected {unknown[:5]}{' ...' if len(unknown) > 5 else ''}. "
            f"{closest_release(weights) if guess is None else f'They are of {guess!r}: give that as --source.'}"
        )
    return converted


def guess_source(weights: Mapping[str, Tensor]) -> str | None:
    """Return the name of the official release that unwrapped weights are of; None for OpenMMLab's and unknown names."""
    for release in known_releases().values():
        fits = release.recognize is not None and release.recognize(weights)
        if fits and all(release.rename(name) is not None for name in weights):
            return release.name
    return None


def closest_release(weights: Mapping[str, Tensor]) -> str:
    """Say, for an error, that unwrapped weights are of no known release, and which one has most of their names."""
    releases = sorted(known_releases().values(), key=lambda release: release.level)
    unknown = {r.name: [name for name in weights if r.rename(name) is None] for r in releases}
    closest = min(unknown, key=lambda name: len(unknown[name]))
    known, text = len(weights) - len(unknown[closest]), "These weights are of none of the known releases"
    if 10 * known < len(weights):
        return f"{text}, which have hardly one of their names."
    text += f"; the closest, {closest!r}, has {known} of their {len(weights)} names"
    if known < len(weights):
        return f"{text}, but not {', '.join(unknown[closest][:3])}."
    return f"{text}, but needs others beside them, or other shapes."


def unwrap(checkpoint: Mapping, filename: str = "the checkpoint") -> dict[str, Tensor]:
    """Take the weights out of a checkpoint's container and drop the prefix ``module.``.

    Raises:
        ValueError: If there is a container that holds no weights, or a name is no text; the message names ``filename``.
    """
    packed = any(isinstance(checkpoint.get(key), Mapping) for key in CONTAINERS)
    weights = take_weights(checkpoint, filename) if packed else checkpoint
    check_names(weights, filename)
    return {name.removeprefix("module."): value for name, value in weights.items()}


def find_checkpoint(checkpoint: str) -> str:
    """Return the file to load for a URL or path.

    A file of the same name in the folder ``$MMWSOL_CHECKPOINT_ROOT`` is taken in place of a URL, so that machines
    without network need no change of configs, and in place of a path that does not exist.
    """
    root = os.environ.get("MMWSOL_CHECKPOINT_ROOT")
    if root and not os.path.exists(checkpoint):
        local = Path(root) / checkpoint.rsplit("/", 1)[-1]
        if local.is_file():
            return str(local)
    return checkpoint


def load_pretrained(model: ImageLocalizer, checkpoint: str) -> None:
    """Start a localizer from pretrained weights.

    Accepts OpenMMLab checkpoints and official releases, told apart by their names. The head brings the weights into its
    own form (:meth:`mmwsol.models.LocHead.adapt_weights`). Weights of the head whose shape differs are left at their
    initialization, and with a layer's weight its bias. Position embeddings are resized where the image size differs,
    with a log line.

    Args:
        model: The localizer.
        checkpoint: Path or URL; see :func:`find_checkpoint`.

    Raises:
        FileNotFoundError: If the file does not exist or cannot be downloaded.
        ValueError: If the weights do not fit the backbone.
    """
    path, weights, hint = _read(checkpoint, model.backbone)
    if not any(name.startswith("backbone.") for name in weights):
        weights = {f"backbone.{name}": value for name, value in weights.items()}
    model.head.adapt_weights(weights, "")
    _drop_other_shapes(weights, {name: value.shape for name, value in model.state_dict().items()})
    _load(model, weights, path, "backbone.", hint)


def load_backbone(backbone: nn.Module, checkpoint: str, prefix: str | None = None) -> None:
    """Start a backbone from pretrained weights: of OpenMMLab, of an official release, or of a localizer.

    Args:
        backbone: A backbone of this package or of mmpretrain.
        checkpoint: Path or URL; see :func:`find_checkpoint`.
        prefix: What the names of its weights begin with; the others are left out. Defaults to None:
            'backbone.' if there are such names, as in a localizer or a release of one, else ''.

    Raises:
        FileNotFoundError: If the file does not exist or cannot be downloaded.
        ValueError: If the weights do not fit the backbone, or none begins with ``prefix``.
    """
    path, weights, hint = _read(checkpoint, backbone)
    if prefix is None:
        prefix = "backbone." if any(name.startswith("backbone.") for name in weights) else ""
    weights = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    _load(backbone, weights, path, "", hint)


def load_classifier(model: nn.Module, checkpoint: str, prefix: str | None = None) -> None:
    """Load all weights of a classifier of mmpretrain, whose own loading passes over what a file lacks.

    Args:
        model: The classifier.
        checkpoint: Path or URL; see :func:`find_checkpoint`. OpenMMLab's, or an official release whose classifier
            is linear (torchvision's ResNet).
        prefix: What the names in the file begin with; others are left out. Defaults to None: nothing.

    Raises:
        FileNotFoundError: If the file does not exist or cannot be downloaded.
        ValueError: If the file lacks a weight, or one has another shape.
    """
    path, loaded = read_weights(checkpoint)
    weights = unwrap(loaded, path)
    weights = {name.removeprefix(prefix or ""): v for name, v in weights.items() if name.startswith(prefix or "")}
    source = None if weights.keys() & model.state_dict().keys() else guess_source(weights)
    if source is not None:
        weights = convert_official(weights, source)
    hint = f"its names start like {sorted(weights)[:3]}"
    load_tensors(model, weights, path, "classifier", hint, allow_missing=["*num_batches_tracked"])


def read_weights(checkpoint: str) -> tuple[str, dict[str, Any]]:
    """Read a file in any form of release; see :func:`mmwsol.compat.load_checkpoint_file`.

    Returns:
        The file that was found, and its contents.

    Raises:
        FileNotFoundError: If the file does not exist or cannot be downloaded.
        ValueError: If it holds no weights.
    """
    path = find_checkpoint(checkpoint)
    try:
        return path, CheckpointLoader.load_checkpoint(path, map_location="cpu")
    except OSError as error:
        raise FileNotFoundError(
            f"Cannot load the pretrained weights {checkpoint} ({error}). Download the file and set "
            "model.init_cfg.checkpoint to its path, or put it into the folder $MMWSOL_CHECKPOINT_ROOT."
        ) from error


def whole_release(model: ImageLocalizer, weights: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """Rename an official release that has all weights of a localizer, its classifier too: nothing is left to train.

    Args:
        model: The localizer.
        weights: Unwrapped weights.

    Returns:
        ``backbone.*`` and ``head.*``, in the form of the head; those that the head can do without
        (:attr:`mmwsol.models.LocHead.optional_weights`) may be missing. None if the weights are no release, or one that
        lacks others.
    """
    renamed, source = wrapped_names(weights, model.backbone), None
    if renamed is None:
        source = guess_source(weights)
        if source is None or known_releases()[source].level != PLAIN_NETWORK:
            return None
        renamed = convert_official(weights, source)
    model.head.adapt_weights(renamed, "")
    optional = {f"head.{name}" for name in model.head.optional_weights}
    for name, value in model.state_dict().items():
        if name.endswith(".num_batches_tracked"):  # files of old versions of torch have none
            renamed.setdefault(name, torch.zeros_like(value))
        if not name.startswith(("backbone.", "head.")) or (name not in renamed and name in optional):
            continue
        resized = name.endswith("pos_embed")  # by the backbone, where the image size differs
        if name not in renamed or (renamed[name].shape != value.shape and not resized):
            return None
    return renamed


def check_own_names(model: nn.Module, weights: Mapping[str, Tensor], prefix: str) -> None:
    """Refuse weights for a localizer that do not have its names: mmengine's Runner would pass over all of them.

    Args:
        model: The localizer.
        weights: Weights to be loaded.
        prefix: What the names of the localizer's weights begin with.

    Raises:
        ValueError: If there are weights with the prefix, and none is the localizer's, or they are an official release,
            or hold values that are none.
    """
    check_values(model, weights, "the checkpoint", prefix)
    mine = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    parts = tuple(f"{name}." for name, _ in model.named_children())
    if not mine or (any(name.startswith(parts) for name in mine) and guess_source(mine) is None):
        return
    source = guess_source(mine)
    what = f"another network: {', '.join(sorted(mine)[:3])}. {closest_release(mine)}"
    if source is not None:
        what = f"an official release ('{source}')."
    raise ValueError(
        f"These are no weights of a localizer, but of {what} To start from pretrained weights, set "
        "model.init_cfg=dict(type='Pretrained', checkpoint=FILE) in place of load_from; a whole release of a method is "
        "converted by tools/model_converters/convert_official.py."
    )


# --- reading and loading ---------------------------------------------------------------------------------------------


def _read(checkpoint: str, backbone: nn.Module) -> tuple[str, dict[str, Tensor], str]:
    """Read a checkpoint, those of releases with our names; also return the file that was found, and what it may be."""
    path, loaded = read_weights(checkpoint)
    weights = unwrap(loaded, path)
    hint = "It is not a checkpoint of this architecture."
    renamed = wrapped_names(weights, backbone)
    if renamed is not None:
        return path, renamed, hint
    source = guess_source(weights)
    if source is not None:
        return path, convert_official(weights, source), f"It is a release of {source!r}, another architecture."
    wrap = "One of timm or torchvision needs its own: mmwsol.TimmCNN, TorchvisionCNN or TimmViT, by model_name."
    return path, weights, f"{hint} {closest_release(weights)} {wrap}"


def _load(model: nn.Module, weights: dict[str, Tensor], path: str, part: str, what: str) -> None:
    """Load weights, most of those whose names begin with ``part`` must be there, and say what was and was not."""
    backbone = [name for name in model.state_dict() if name.startswith(part)]

    def refuse(absent: Sequence[str]) -> None:
        raise ValueError(
            f"{path} has only {len(backbone) - len(absent)} of the backbone's {len(backbone)} tensors; its names "
            f"start like {sorted(name.removeprefix(part) for name in weights)[:3]}. {what}"
        )

    if 10 * len(weights.keys() & set(backbone)) < len(backbone):  # before a token that others have, too, fits or not
        refuse([name for name in backbone if name not in weights])
    hint = "choose the arch that they belong to"
    missing, unused = load_tensors(model, weights, path, "backbone", hint, allow_missing=["*"])
    absent = [name for name in missing if name.startswith(part)]  # TRT makes some of its tensors while it loads
    if len(absent) > len(backbone) // 2:
        refuse(absent)
    lost = _lost_blocks(backbone, absent)
    if lost:
        raise ValueError(f"{path} is of a smaller network, without {', '.join(lost[:3])} of the backbone: {hint}.")
    logger = MMLogger.get_current_instance()
    logger.info(f"Loaded {len(model.state_dict()) - len(missing)} tensors from {path}.")
    lost = _lost_blocks(list(weights), unused)
    if lost:
        logger.warning(f"{path} is of a larger network: {', '.join(lost)} are not used; {hint} to use all.")
    if missing:
        logger.info(f"Left at their initialization: {', '.join(sorted(missing))}.")
    if unused:
        logger.info(f"Not used from the checkpoint: {', '.join(sorted(unused))}.")


def _lost_blocks(names: Sequence[str], lost: Sequence[str]) -> list[str]:
    """Return the blocks, such as 'backbone.layers.7', that are lost as a whole while others of their list are not."""
    names = [name for name in names if not name.endswith("num_batches_tracked")]  # torch fills it in without a word
    matches = {name: match for name in names if (match := _BLOCK.match(name))}
    kept = {match[0] for name, match in matches.items() if name not in set(lost)}
    lists = {match[1] for match in matches.values() if match[0] in kept}
    return list(dict.fromkeys(m[0].rstrip(".") for m in matches.values() if m[0] not in kept and m[1] in lists))


def _drop_other_shapes(weights: dict[str, Tensor], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Remove, in place, weights of the head that have another shape; the bias goes with the weight of its layer."""
    other = {n for n, v in weights.items() if n.startswith("head.") and n in shapes and v.shape != shapes[n]}
    other |= {f"{name.removesuffix('weight')}bias" for name in other if name.endswith(".weight")}
    for name in other & weights.keys():
        del weights[name]
