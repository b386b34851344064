"""Weights of official releases: the registry of what is known, conversion of names, and loading.

A release is registered beside the network it belongs to: plain networks in :mod:`mmwsol.models.official_networks`,
those of a method in the ``weights.py`` of its folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmengine.logging import MMLogger
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from mmwsol.registry import MODELS
from mmwsol.weight_files import find_weights

if TYPE_CHECKING:
    from mmwsol.models.localizer import ImageLocalizer

# Levels of :class:`Release`.
PLAIN_NETWORK = 0
METHOD = 1
METHOD_ON_METHOD = 2


@dataclass(frozen=True)
class Release:
    """An official release whose weights can be converted.

    Attributes:
        name (str): Its name for ``convert_official.py --source``.
        rename (Callable): Returns the name of a weight in :class:`mmwsol.models.ImageLocalizer`; '' drops the weight,
            None means that the release has no such name.
        recognize (Callable | None): Tells by names and shapes whether weights are of this release. None: they cannot be
            told, and are converted only where the release is named.
        level (int): ``METHOD_ON_METHOD`` is asked first, ``PLAIN_NETWORK`` last: a release has all the names of the
            network that it builds on. Those of one level must exclude each other. Defaults to ``METHOD``.
        check (Callable | None): Raises a ``ValueError`` if values of the weights, not yet renamed, are wrong. Defaults
            to None: nothing is checked.
    """

    name: str
    rename: Callable[[str], str | None]
    recognize: Callable[[Mapping[str, Tensor]], bool] | None
    level: int = METHOD
    check: Callable[[Mapping[str, Tensor]], None] | None = None


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
        state_dict (Mapping): The loaded file of the release.
        source (str): Name of the release: a plain network of :mod:`mmwsol.models.official_networks` ('deit', 'dino',
            ...) or one of the ``weights.py`` of a method ('tscam', 'trt', ...), which say what becomes of each weight.

    Returns:
        dict[str, Tensor]: ``backbone.*`` and ``head.*``, as far as the release has them.

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
    converted, unknown = {}, []
    for name, value in weights.items():
        new = release.rename(name)
        if new is None:
            unknown.append(name)
        elif new:
            converted[new] = value
    if unknown or not converted:
        raise ValueError(
            f"The weights do not have the names of a {source!r} release: {len(converted)} recognized, "
            f"unexpected {unknown[:5]}{' ...' if len(unknown) > 5 else ''}. Check --source."
        )
    return converted


def guess_source(weights: Mapping[str, Tensor]) -> str | None:
    """Return the name of the official release that unwrapped weights are of; None for OpenMMLab's names."""
    for release in known_releases().values():
        if release.recognize is not None and release.recognize(weights):
            return release.name
    return None


def unwrap(checkpoint: Mapping, filename: str = "the checkpoint") -> dict[str, Tensor]:
    """Take the weights out of a checkpoint's container and drop the prefix ``module.``.

    Raises:
        ValueError: If it holds no weights; the message names ``filename``.
    """
    weights = find_weights(checkpoint, filename)
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
        model (ImageLocalizer): The localizer.
        checkpoint (str): Path or URL; see :func:`find_checkpoint`.

    Raises:
        FileNotFoundError: If the file does not exist or cannot be downloaded.
        ValueError: If the weights do not fit the backbone.
    """
    path, weights = _read(checkpoint)
    if not any(name.startswith("backbone.") for name in weights):
        weights = {f"backbone.{name}": value for name, value in weights.items()}
    model.head.adapt_weights(weights, "")
    _drop_other_shapes(weights, {name: value.shape for name, value in model.state_dict().items()})
    _load(model, weights, path, "backbone.")


def load_backbone(backbone: nn.Module, checkpoint: str, prefix: str | None = None) -> None:
    """Start a backbone from pretrained weights: of OpenMMLab, of an official release, or of a localizer.

    Args:
        backbone (nn.Module): One of this package's backbones.
        checkpoint (str): Path or URL; see :func:`find_checkpoint`.
        prefix (str, optional): What the names of its weights begin with; the others are left out. Defaults to None:
            'backbone.' if there are such names, as in a localizer or a release of one, else ''.

    Raises:
        FileNotFoundError: If the file does not exist or cannot be downloaded.
        ValueError: If the weights do not fit the backbone, or none begins with ``prefix``.
    """
    path, weights = _read(checkpoint)
    if prefix is None:
        prefix = "backbone." if any(name.startswith("backbone.") for name in weights) else ""
    weights = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    _load(backbone, weights, path, "")


def _read(checkpoint: str) -> tuple[str, dict[str, Tensor]]:
    """Read a checkpoint, those of releases with our names; also return the file that was found."""
    path = find_checkpoint(checkpoint)
    try:
        loaded = CheckpointLoader.load_checkpoint(path, map_location="cpu")
    except OSError as error:
        raise FileNotFoundError(
            f"Cannot load the pretrained weights {checkpoint} ({error}). Download the file and set "
            "model.init_cfg.checkpoint to its path, or put it into the folder $MMWSOL_CHECKPOINT_ROOT."
        ) from error
    weights = unwrap(loaded)
    source = guess_source(weights)
    return path, weights if source is None else convert_official(weights, source)


def _load(model: nn.Module, weights: dict[str, Tensor], path: str, part: str) -> None:
    """Load weights, most of those whose names begin with ``part`` must be there, and say what was and was not."""
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    try:
        missing, unused = model.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        raise ValueError(
            f"The weights in {path} do not fit the backbone: {error}. Choose the arch that they belong to."
        ) from error
    backbone = [name for name in shapes if name.startswith(part)]
    absent = [name for name in missing if name.startswith(part)]
    if len(absent) > len(backbone) // 2:
        raise ValueError(
            f"{path} has only {len(backbone) - len(absent)} of the backbone's {len(backbone)} tensors; its names "
            f"start like {sorted(weights)[:3]}. It is not a checkpoint of this architecture."
        )
    logger = MMLogger.get_current_instance()
    logger.info(f"Loaded {len(shapes) - len(missing)} tensors from {path}.")
    if missing:
        logger.info(f"Left at their initialization: {', '.join(sorted(missing))}.")
    if unused:
        logger.info(f"Not used from the checkpoint: {', '.join(sorted(unused))}.")


def _drop_other_shapes(weights: dict[str, Tensor], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Remove, in place, weights of the head that have another shape; the bias goes with the weight of its layer."""
    other = {n for n, v in weights.items() if n.startswith("head.") and n in shapes and v.shape != shapes[n]}
    other |= {f"{name.removesuffix('weight')}bias" for name in other if name.endswith(".weight")}
    for name in other & weights.keys():
        del weights[name]
