"""Helpers for users and tools."""

from .checkpoint import convert_official, load_pretrained

__all__ = ["convert_official", "load_pretrained"]
