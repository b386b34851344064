"""Files of CLIP's text embeddings, for :class:`mmwsol.methods.cdtr.SemanticBoostLoss`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mmwsol.files import write_torch


class TextEmbeddings(NamedTuple):
    """Text embeddings of classes.

    Attributes:
        embeddings: (C, E), of length 1.
        classes: C names.
        fingerprint: :func:`mmwsol.methods.cdtr.clip_encoders.fingerprint` of the CLIP that made them; None
            if the file has none.
    """

    embeddings: Tensor
    classes: tuple[str, ...]
    fingerprint: str | None


def save_text_embeddings(path: str | Path, embeddings: Tensor, classes: Sequence[str], **meta: str | None) -> None:
    """Write text embeddings (C, E) with the names of their classes.

    Args:
        path: File.
        embeddings: (C, E), which are brought to length 1.
        classes: C names as the data set has them.
        **meta: Further entries: ``template``, ``clip_name``, ``weights_sha256``, ``fingerprint``.

    Raises:
        ValueError: If the numbers differ.
    """
    if len(embeddings) != len(classes):
        raise ValueError(f"{len(embeddings)} embeddings for {len(classes)} classes.")
    write_torch(path, dict(embeddings=F.normalize(embeddings.float(), dim=1), classes=list(classes), **meta))


def load_text_embeddings(path: str | Path) -> TextEmbeddings:
    """Read embeddings (C, E) of length 1, the names of their classes and the fingerprint of their CLIP.

    Raises:
        FileNotFoundError: If the file does not exist; the message says how to make it.
        ValueError: If it is not a file of text embeddings.
    """
    tool = "python tools/make_clip_text_embeddings.py --classes CUB --out"
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f"there are no text embeddings '{path}'. Make them once: {tool} {path} (--help says more). To train "
            "without CLIP, set model.head.map_losses.loss_sba=None."
        )
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
        embeddings, classes = loaded["embeddings"], tuple(loaded["classes"])
    except Exception as error:  # a file of anything else raises anything
        raise ValueError(f"'{path}' is no file of text embeddings ({error}): make it with {tool} {path}.") from error
    if embeddings.ndim != 2 or len(embeddings) != len(classes):
        raise ValueError(f"'{path}' has embeddings {tuple(embeddings.shape)} for {len(classes)} classes: make it anew.")
    return TextEmbeddings(embeddings, classes, loaded.get("fingerprint"))
