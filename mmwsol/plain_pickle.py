"""Read pickles of plain values and numpy arrays, from anybody.

Allowing numpy's own functions is not safe: ``ndarray((1,), 'O', bytes)`` takes bytes of the file for pointers to
objects, and the state of a ``dtype`` sets its size and flags. Here stand-ins take their place, which build arrays of
numbers and text only, from as many bytes as they need.
"""

from __future__ import annotations

import io
import math
import pickle
import re
from collections.abc import Callable
from typing import Any

import numpy as np

_CODE = re.compile(r"[?bhilqBHILQefdgFDSU]|[biufcSU]\d{1,7}")


class PlainType:
    """Stands in for ``numpy.dtype``: numbers, truth values and text of fixed length."""

    def __init__(self, code: Any, align: Any = False, copy: Any = False) -> None:
        if not isinstance(code, str) or not _CODE.fullmatch(code):
            raise pickle.UnpicklingError(f"an array of type {code!r:.40}")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        """Take the byte order; a plain type has no further state."""
        order = state[1] if isinstance(state, tuple) and len(state) > 4 else None
        if order not in ("<", ">", "|", "=") or any(part is not None for part in state[2:5]):
            raise pickle.UnpicklingError("an array of a composed type")
        self.dtype = self.dtype.newbyteorder(order)


class PlainArray(np.ndarray):
    """Stands in for ``numpy.ndarray``: made empty, filled by its state, and pickled as the ndarray that it is."""

    def __new__(cls, *args: Any) -> PlainArray:
        """Make an empty array; arguments could say where in memory it lies."""
        if args:
            raise pickle.UnpicklingError("an array made in another way than numpy pickles it")
        return super().__new__(cls, (0,), np.int8)

    def __setstate__(self, state: Any) -> None:
        """Take (version, shape, type, whether in Fortran's order, bytes)."""
        if not isinstance(state, tuple) or len(state) != 5:
            raise pickle.UnpicklingError("an array without its state")
        version, shape, kind, fortran, content = state
        _check_content(content, shape, kind)
        super().__setstate__((1, shape, kind.dtype, bool(fortran), content))  # type: ignore[arg-type]

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle as numpy does."""
        return self.view(np.ndarray).__reduce_ex__(protocol)


def _check_content(content: Any, shape: Any, kind: Any) -> None:
    """Refuse bytes that are not an array of the shape and type."""
    fits = isinstance(content, (bytes, bytearray)) and type(kind) is PlainType and isinstance(shape, tuple)
    fits = fits and all(type(side) is int and side >= 0 for side in shape)
    if not fits or math.prod(shape) * kind.dtype.itemsize != len(content):
        raise pickle.UnpicklingError("an array whose content is not that of its shape and type")


def reconstruct(subtype: Any, shape: Any, code: Any) -> PlainArray:
    """Stand in for ``_reconstruct``: its arguments say nothing that the state does not."""
    if subtype is not PlainArray:
        raise pickle.UnpicklingError("an array of another class")
    return PlainArray()


def scalar(kind: Any, content: Any = b"") -> Any:
    """Stand in for ``scalar``: a number or text of numpy."""
    _check_content(content, (), kind)
    return np.frombuffer(content, kind.dtype)[0] if content else kind.dtype.type()


def frombuffer(content: Any, kind: Any, shape: Any, order: Any = "C") -> np.ndarray:
    """Stand in for ``_frombuffer``, the form of arrays in pickles of protocol 5."""
    shape = shape if isinstance(shape, tuple) else (shape,)
    _check_content(content, shape, kind)
    if order not in ("C", "F", "A", "K"):
        raise pickle.UnpicklingError(f"an array in the order {order!r:.20}")
    return np.frombuffer(content, kind.dtype).reshape(shape, order=order) if content else np.zeros(shape, kind.dtype)


def empty_bytes(*args: Any) -> bytes:
    """Stand in for ``bytes``, which a pickle names for the content of an empty array; with a number it fills memory."""
    if args:
        raise pickle.UnpicklingError("bytes made from a number")
    return b""


def encode(text: Any, encoding: Any = "latin1") -> bytes:
    """Stand in for ``_codecs.encode``, by which old pickles write bytes."""
    if not isinstance(text, str) or encoding != "latin1":
        raise pickle.UnpicklingError(f"text in the encoding {encoding!r:.20}")
    return text.encode("latin1")


def make_set(items: Any = ()) -> set:
    """Stand in for ``set``, by which old pickles write sets."""
    return set(items)


#: What a pickle of arrays names, and what is called in its place.
STAND_INS: dict[str, Callable] = {
    "numpy.ndarray": PlainArray,
    "numpy.dtype": PlainType,
    **{f"numpy.{core}.multiarray._reconstruct": reconstruct for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": scalar for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": frombuffer for core in ("core", "_core")},
    "builtins.bytes": empty_bytes,
}


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}".replace("__builtin__.", "builtins.")
        stand_ins = {**STAND_INS, "_codecs.encode": encode, "builtins.set": make_set}
        if full not in stand_ins:
            raise pickle.UnpicklingError(f"it holds {module}.{name}, and only plain values and arrays are read")
        return stand_ins[full]


def read_plain_pickle(content: bytes) -> Any:
    """Read a pickle of dicts, lists, tuples, sets, numbers, text and numpy arrays of numbers and text.

    Raises:
        ValueError: If it holds anything else, or is no pickle.
    """
    try:
        return _with_arrays(_PlainUnpickler(io.BytesIO(content)).load())
    except Exception as error:  # a forged pickle can raise anything
        raise ValueError(str(error) or type(error).__name__) from error


def _with_arrays(value: Any) -> Any:
    """Turn stand-ins for arrays into numpy's own."""
    if isinstance(value, PlainArray):
        return value.view(np.ndarray)
    if isinstance(value, dict):
        return {key: _with_arrays(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_with_arrays(item) for item in value)
    return value
