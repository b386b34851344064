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

# Sides of an array without content: more would only fill memory, with empty lists for example.
_MOST_EMPTY = 10**6
# Values that a pickle may unfold to where parts occur several times, and beside them per byte.
_MOST_VALUES, _MOST_VALUES_PER_BYTE = 10**7, 100

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
    if (shape and kind.dtype.itemsize == 0) or (
        not content and math.prod(max(1, side) for side in shape) > _MOST_EMPTY
    ):
        raise pickle.UnpicklingError(f"an array of shape {shape!s:.60} without content")


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


class _Fixed:
    """A function whose attributes, such as the defaults of arguments, no pickle can set for the rest of the process."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable) -> None:
        self._function = function

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError(f"it sets attributes of {self._function.__name__}")


_ALL: dict[str, Callable] = {**STAND_INS, "_codecs.encode": encode, "builtins.set": make_set}
_FIXED = {name: part if isinstance(part, type) else _Fixed(part) for name, part in _ALL.items()}


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}".replace("__builtin__.", "builtins.")
        if full not in _FIXED:
            raise pickle.UnpicklingError(f"it holds {module}.{name}, and only plain values and arrays are read")
        return _FIXED[full]


def read_plain_pickle(content: bytes) -> Any:
    """Read a pickle of dicts, lists, tuples, sets, numbers, text and numpy arrays of numbers and text.

    Raises:
        ValueError: If it holds anything else, holds itself, unfolds to far more values than it has bytes, or is no
            pickle.
    """
    try:
        finished = _Finish(_MOST_VALUES + _MOST_VALUES_PER_BYTE * len(content))
        return finished(_PlainUnpickler(io.BytesIO(content)).load())[0]
    except Exception as error:  # a forged pickle can raise anything
        raise ValueError(str(error) or type(error).__name__) from error


class _Finish:
    """Turns stand-ins for arrays into numpy's own; a part that occurs several times is turned once.

    Args:
        most: How many values there may be, if a part counts wherever it occurs.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.done: dict[int, tuple[Any, int] | None] = {}

    def __call__(self, value: Any) -> tuple[Any, int]:
        """Return the value without stand-ins, and how many values it unfolds to."""
        if isinstance(value, PlainArray):
            return value.view(np.ndarray), 1
        if type(value) not in (dict, list, tuple):
            return value, 1
        if id(value) not in self.done:
            self.done[id(value)] = None
            self.done[id(value)] = self._container(value)
        done = self.done[id(value)]
        if done is None:
            raise pickle.UnpicklingError("it holds itself")
        return done

    def _container(self, value: Any) -> tuple[Any, int]:
        parts, count = [], 1
        for part in value.values() if isinstance(value, dict) else value:
            number = 1
            if type(part) in (dict, list, tuple, PlainArray):
                part, number = self(part)  # noqa: PLW2901
            parts.append(part)
            count += number
        if count > self.most:
            raise pickle.UnpicklingError(f"it unfolds to more than {self.most:,} values")
        return (dict(zip(value, parts, strict=True)) if isinstance(value, dict) else type(value)(parts)), count
