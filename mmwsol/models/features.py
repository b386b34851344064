"""What backbones return and localization heads read: one type for all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

# How to get each field from a backbone, for the error message. Backbones of methods add theirs by `add_fix`.
FIXES = {
    "patch_map": "take a backbone that keeps its feature map, without pooling",
    "cls_token": "take a transformer with a class token, such as mmwsol.TapViT",
    "cls_attn": "set tap='cls' in the backbone, and tap_in_train=True if a loss reads attention; "
    "a CNN has none: take mmwsol.TapViT",
    "full_attn": "set tap='full' in the backbone, and tap_in_train=True if a loss reads attention; "
    "a CNN has none: take mmwsol.TapViT",
    "tokens": "set out_tokens in the backbone",
    "conv_map": "take a Conformer, such as mmwsol.TapConformer",
}


def add_fix(name: str, fix: str) -> None:
    """Say how to get the field ``name`` of :class:`Features` from a backbone, for the error of :meth:`Features.need`.

    A backbone that alone fills a field calls it where it is defined.
    """
    FIXES[name] = f"{FIXES[name]}; {fix}" if name in FIXES else fix


class Features(NamedTuple):
    """Features of B images.

    A backbone fills the fields that it has; a head reads those that it needs by :meth:`need`. Sizes: width D, tapped
    blocks L, attention heads H, grid (h, w) of N = h * w patches or cells.

    Attributes:
        patch_map: (B, D, h, w) patch tokens after the final norm, or the last map of a CNN.
        cls_attn: (B, L, H, h, w) attention of the class token to every patch, after the softmax; its sum over
            the patches is one minus the attention of the class token to itself.
        full_attn: (B, L, H, 1 + N, 1 + N) whole attention matrices.
        tokens: (B, 1 + N, D) tokens at each depth of ``out_tokens``, before the final norm.
        gates: (B, G, h, w) foreground probabilities of G gated blocks (SAT), never in half precision.
        conv_map: (B, E, ceil(h / 2), ceil(w / 2)) last map of a Conformer's CNN branch.
        cls_tokens: (B, L, D) class tokens after each of the last blocks, each through the final norm (DiPS).
        attn_map: (B, 1, h, w) re-attention, sum 1, class-agnostic (TRT).
        cam_map: (B, D, h, w) patch tokens of the CAM branch (TRT).
        pooled: (B, D) what the classifier of a network reads, where layers behind the pool make it another vector than
            the mean of ``patch_map``.
        cls_token: (B, D) class token after the final norm.
    """

    patch_map: Tensor | None = None
    cls_attn: Tensor | None = None
    full_attn: Tensor | None = None
    tokens: tuple[Tensor, ...] = ()
    gates: Tensor | None = None
    conv_map: Tensor | None = None
    cls_tokens: Tensor | None = None
    attn_map: Tensor | None = None
    cam_map: Tensor | None = None
    pooled: Tensor | None = None
    cls_token: Tensor | None = None

    def __getitem__(self, index):  # type: ignore[override]
        """Return a field by its place; the last one, [-1], is ``cls_token``, or ``pooled`` where there is none.

        mmpretrain's heads read the last of a backbone's outputs: backbones that classify work in its
        ``ImageClassifier``.
        """
        if index == -1 and self.cls_token is None:
            return self.pooled
        return tuple.__getitem__(self, index)

    def need(self, name: str) -> Tensor:
        """Return the field ``name``.

        Raises:
            ValueError: If the backbone did not fill it; the message says what to set.
        """
        value = getattr(self, name)
        if value is None or (isinstance(value, tuple) and not value):
            raise ValueError(
                f"the head needs {name!r} of the features, which the backbone did not return: "
                f"{FIXES.get(name, 'take a backbone that fills it')}."
            )
        return value


def as_features(output: Features | Tensor | Sequence[Tensor]) -> Features:
    """Turn the output of any backbone into :class:`Features`: a map (B, D, h, w), or several, of which the last counts.

    Raises:
        ValueError: If the output is no map.
    """
    if isinstance(output, Features):
        return output
    last = output if isinstance(output, Tensor) else output[-1]
    if not isinstance(last, Tensor) or last.ndim != 4:
        shape = tuple(last.shape) if isinstance(last, Tensor) else type(last).__name__
        raise ValueError(
            f"a localization head needs a map (B, D, h, w), but the backbone gives {shape}: {FIXES['patch_map']}."
        )
    return Features(patch_map=last)
