"""The localizer inside a Runner's model."""

from __future__ import annotations

from typing import Any

from mmwsol.models import ImageLocalizer
from mmwsol.models.wrappers import unwrapped


def find_localizer(model: Any) -> ImageLocalizer | None:
    """Take the localizer out of its wrappers and of a ``WSOLDetector``; None for other models."""
    model = unwrapped(model)
    model = getattr(model, "localizer", model)
    return model if isinstance(model, ImageLocalizer) else None


def is_class_agnostic(model: Any) -> bool:
    """Tell whether the model is a ``WSOLDetector`` whose boxes have one class, 'object', whatever the localizer has."""
    return hasattr(unwrapped(model), "localizer") and unwrapped(model).class_agnostic
