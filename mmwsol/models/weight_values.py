"""Loading weights under their names; what damaged files and diverged trainings hold is not loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from torch import Tensor, nn


def check_values(model: nn.Module, weights: Mapping[str, Tensor], source: str, prefix: str = "") -> None:
    """Refuse weights that are damaged: with NaN or infinity, or of a type that the model's cannot be made from.

    A tensor of the model that itself is not finite, such as a mask or a threshold to be calibrated, may stay so.

    Args:
        model: The model.
        weights: Weights to be loaded; those that the model has not, or in another shape, are not looked at.
        source: Where they come from, for the error.
        prefix: What the names of the model's weights begin with. Defaults to ''.

    Raises:
        ValueError: If there are such weights; the message names the first.
    """
    for name, own in model.state_dict(keep_vars=True).items():
        value = weights.get(prefix + name)
        if not isinstance(value, Tensor) or not isinstance(own, Tensor) or value.shape != own.shape:
            continue
        floating = own.is_floating_point()
        if value.is_complex() != own.is_complex() or (floating and not value.is_floating_point()):
            raise ValueError(f"{source} holds {value.dtype} for {prefix + name}, where the model has {own.dtype}.")
        if not floating or value.is_meta or name.endswith("map_to_box.threshold"):
            continue
        if not value.detach().to(own.dtype).isfinite().all() and (own.is_meta or own.detach().isfinite().all()):
            raise ValueError(
                f"{source} holds NaN or infinity in {prefix + name}: the training diverged, or the file is damaged. "
                "Take another checkpoint, or get the file again."
            )


def load_tensors(
    model: nn.Module,
    weights: Mapping[str, Tensor],
    source: str,
    part: str,
    hint: str,
    allow_missing: Sequence[str] = (),
) -> tuple[list[str], list[str]]:
    """Load weights under their names; all that the model has must be there, in their shapes.

    Args:
        model: The model.
        weights: The weights.
        source: Where they come from, for error messages.
        part: What the model is, for error messages: 'model', 'backbone', ...
        hint: End of error messages, such as what to do.
        allow_missing: Shell patterns of names that need not be there. Defaults to ().

    Returns:
        Names that were not there, and names that the model has not.

    Raises:
        ValueError: If a tensor is missing, has another shape, or values that are none.
    """
    check_values(model, weights, f"'{source}'")
    try:
        missing, unexpected = model.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        raise ValueError(f"'{source}' does not fit the {part}: {error}; {hint}.") from error
    needed = [name for name in missing if not any(fnmatchcase(name, pattern) for pattern in allow_missing)]
    if needed:
        raise ValueError(
            f"'{source}' lacks {len(needed)} tensors of the {part}, such as {', '.join(needed[:3])}: {hint}."
        )
    return missing, unexpected
