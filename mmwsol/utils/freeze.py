"""Freezing of parameters by name."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from mmengine.logging import MMLogger
from torch import nn


def freeze_parameters(model: nn.Module, patterns: Sequence[str]) -> None:
    """Set ``requires_grad=False`` for the parameters whose names match.

    Modules keep their mode: DropPath of a frozen block goes on dropping, unlike with mmpretrain's ``frozen_stages``.
    Must come before the optimizer and the distributed wrapper, which then needs no ``find_unused_parameters``.

    Args:
        model (nn.Module): The model.
        patterns (Sequence[str]): Shell patterns of whole parameter names, case-sensitive: ``*`` any text, ``?`` a
            character, ``[0-8]`` one of these characters. 'backbone.layers.[0-8].attn.*' freezes nine attentions.

    Raises:
        ValueError: If a pattern matches nothing, or together they freeze everything.
    """
    if isinstance(patterns, str):
        raise ValueError(f"frozen must be a list of patterns, got the string {patterns!r}: write [{patterns!r}].")
    parameters = dict(model.named_parameters())
    for pattern in patterns:
        matched = [name for name in parameters if fnmatchcase(name, pattern)]
        if not matched:
            near = get_close_matches(pattern, parameters, n=4, cutoff=0)
            raise ValueError(
                f"frozen pattern {pattern!r} matches no parameter. Patterns are for whole names, such as "
                f"{', '.join(near)}."
            )
        for name in matched:
            parameters[name].requires_grad = False
    if patterns:
        frozen = sum(p.numel() for p in parameters.values() if not p.requires_grad)
        total = sum(p.numel() for p in parameters.values())
        if frozen == total:
            raise ValueError(f"frozen patterns {list(patterns)} freeze every parameter: nothing is left to train.")
        MMLogger.get_current_instance().info(
            f"Frozen: {frozen:,} of {total:,} parameters ({100 * frozen / total:.1f} %)."
        )
