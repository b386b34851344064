"""Helpers for users and tools."""

from mmwsol.models.weights import convert_official, load_pretrained

__all__ = ["convert_official", "load_pretrained"]
