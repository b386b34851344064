"""Helpers for users and tools: configs by name, and official weights under the path that users know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmwsol.models.weights import convert_official, load_pretrained

__all__ = ["convert_official", "load_pretrained"]


def __getattr__(name: str) -> Any:
    # Not imported above: tools that only read a config (mmwsol.utils.config) would load all networks, which takes 18 s
    # of CPU where mmdet is installed, in place of 0.1 s.
    if name in __all__:
        from mmwsol.models import weights

        return getattr(weights, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
