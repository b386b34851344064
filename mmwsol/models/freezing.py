"""Freezing of parts of a model: the one mechanism, and the one policy for their mode."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from mmengine.logging import MMLogger
from torch import nn


def freeze(model: nn.Module, patterns: Sequence[str]) -> list[nn.Module]:
    """Keep parts of a model from training.

    The name of a module, such as 'backbone' or 'head.decoder', freezes it whole: its parameters have no gradient, and
    it stays in evaluation mode, so that dropout, DropPath and the statistics of batch norm rest too. Any other entry is
    a pattern of parameter names: these have no gradient, and their modules keep their mode.

    Must come before the optimizer and the distributed wrapper, which then needs no ``find_unused_parameters``.

    Args:
        model: The model.
        patterns: Names of modules, and shell patterns of whole parameter names, case-sensitive: ``*``
            any text, ``?`` a character, ``[0-8]`` one of these characters. 'backbone.layers.[0-8].attn.*' freezes the
            attention of nine blocks.

    Returns:
        The modules that are frozen whole, for the model's ``train`` to set to evaluation mode.

    Raises:
        ValueError: If an entry matches nothing, or together they freeze everything.
    """
    parameters = dict(model.named_parameters())
    modules = {name: module for name, module in model.named_modules() if name}  # the model itself has no name
    whole = []
    for pattern in patterns:
        if pattern in modules:
            whole.append(modules[pattern])
            modules[pattern].requires_grad_(False)
            continue
        matched = [name for name in parameters if fnmatchcase(name, pattern)]
        if not matched:
            near = get_close_matches(pattern, [*parameters, *modules], n=4, cutoff=0)
            raise ValueError(
                f"frozen entry {pattern!r} matches no parameter and no module. Entries are names of modules or "
                f"patterns of whole parameter names, such as {', '.join(near)}."
            )
        for name in matched:
            parameters[name].requires_grad = False
    if patterns:
        frozen = sum(p.numel() for p in parameters.values() if not p.requires_grad)
        total = sum(p.numel() for p in parameters.values())
        if frozen == total:
            raise ValueError(f"frozen={list(patterns)} freezes every parameter: nothing is left to train.")
        MMLogger.get_current_instance().info(
            f"Frozen: {frozen:,} of {total:,} parameters ({100 * frozen / total:.1f} %)."
        )
    return whole
