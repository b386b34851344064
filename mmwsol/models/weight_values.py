"""Values of weights: what damaged files and diverged trainings hold is not loaded."""

from __future__ import annotations

from collections.abc import Mapping

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
