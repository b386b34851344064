"""Errors that configs cause, told by where they come from: while one is loaded, or parts are built from it."""

from __future__ import annotations

import difflib
import inspect
import itertools
import re
import traceback
from collections.abc import Iterable
from types import FrameType
from typing import Any

TRACEBACK_VARIABLE = "MMWSOL_TRACEBACK"
LOADERS = ("load_config", "load_cell", "stage_configs", "load_stages", "load_test_config")
_UNKNOWN_ARGUMENT = re.compile(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'")


def config_error_line(error: BaseException, config: str = "") -> str | None:
    """Return an error of loading a config, or of building parts from it, in one line; None for any other error.

    Where errors come from is seen in the traceback: mmengine reads files in ``Config._file2dict``, and builds in
    ``build_from_cfg`` and in methods of its Runner. The line of an error of a class that is built, which may be a bug
    of it, ends with how to see where.

    Args:
        error: Caught, so that it has its traceback.
        config: What the user calls the config. Defaults to ''.
    """
    numbered = [*traceback.walk_tb(error.__traceback__)]
    frames = [frame for frame, _ in numbered]
    file = next(reversed(open_configs(frames)), None)
    line = next((line for frame, line in reversed(numbered) if frame.f_code.co_filename == file), None)
    part = next((frame for frame in reversed(frames) if frame.f_code.co_name == "build_from_cfg"), None)
    if file is None and not any(_builds(frame) or frame.f_code.co_name in LOADERS for frame in frames):
        return None
    named = part is None and (file is None or file in str(error))
    if isinstance(error, OSError) or (isinstance(error, ValueError) and named):
        return None  # these say what is wrong
    if isinstance(error, (RuntimeError, MemoryError)) and file is None:
        return None  # no memory on a GPU, for example
    cause, line = _cause(error, line)
    cause += _nearest(error, frames[-1] if part is None else part)
    place = f"config '{file or config}'" if file or config else "the config"
    place += f", line {line}" if line else ""
    what = _name_of(part) if part is not None else ""
    place += f"; {TRACEBACK_VARIABLE}=1 shows where" if _is_inside(error, frames, part) else ""
    return f"{type(error).__name__}: {cause} (in {f'{what} of ' if what else ''}{place})"


def open_configs(frames: Iterable[FrameType]) -> list[str]:
    """Return the config files that mmengine is reading in some frames, in their order."""
    return [frame.f_locals["filename"] for frame in frames if frame.f_code.co_name == "_file2dict"]


def _is_of(frame: FrameType, *modules: str) -> bool:
    return f"{frame.f_globals.get('__name__')}.".startswith(modules)


def _builds(frame: FrameType) -> bool:
    """Return whether mmengine builds something, or imports what a config names, in a frame of a traceback."""
    name = frame.f_code.co_name
    return _is_of(frame, "mmengine.") and (
        name in ("from_cfg", "import_modules_from_strings") or name.startswith("build_")
    )


def _is_inside(error: BaseException, frames: list[FrameType], part: FrameType | None) -> bool:
    """Return whether an error is of the code of what is built or imported, not of the call itself."""
    if isinstance(error, ValueError) or _is_of(frames[-1], "mmengine.registry.", "mmwsol.registry."):
        return False
    unknown = _UNKNOWN_ARGUMENT.search(str(error))
    if unknown and part is not None and unknown[2] in part.f_locals["args"]:
        return False
    behind = [*itertools.takewhile(lambda frame: not _builds(frame), reversed(frames))]
    return len(behind) < len(frames) and not all(_is_of(frame, "mmengine.") for frame in behind)


def _cause(error: BaseException, line: int | None) -> tuple[str, int | None]:
    """Return the message of an error, and its line in the config."""
    syntax = error.__context__ if isinstance(error.__context__, SyntaxError) else error
    if isinstance(syntax, SyntaxError) and syntax.lineno is not None:
        return syntax.msg, syntax.lineno
    if isinstance(error, RecursionError):
        return "files or values lead in a circle", line
    if isinstance(error, ValueError):
        return str(error), line  # it may list bad records, one a line
    text = " ".join(str(error.args[0] if isinstance(error, KeyError) and error.args else error).split())
    text = text.split(". Please check whether the value of")[0]  # mmengine's advice on types
    if isinstance(error, KeyError) and text.isidentifier():
        return f"there is no '{text}'", line
    return text or "no further message", line


def _name_of(part: FrameType) -> str:
    """Return the type that is built."""
    kind = part.f_locals.get("obj_type")
    return str(kind if isinstance(kind, str) else getattr(kind, "__name__", "") or "")


def _nearest(error: BaseException, frame: FrameType) -> str:
    """Return the argument or the type that may be meant; the frame is that which builds."""
    kind, known = frame.f_locals.get("obj_type"), None
    unknown = _UNKNOWN_ARGUMENT.search(str(error))
    if unknown:
        built = frame.f_locals.get("obj_cls", frame.f_globals.get(unknown[1]))
        kind, known = unknown[2], _arguments(built) if inspect.isclass(built) else None
    elif isinstance(error, KeyError) and frame.f_locals.get("obj_cls", 0) is None:  # no such type
        known = _types(frame.f_locals["registry"])
    near = difflib.get_close_matches(kind, known, n=1) if known and isinstance(kind, str) else []
    return f"; the nearest is '{near[0]}'" if near else ""


def _arguments(built: type) -> list[str]:
    """Return the names of the arguments of a class and of those that it extends."""
    inits = [vars(base)["__init__"] for base in built.__mro__[:-1] if "__init__" in vars(base)]
    return [name for init in inits for name in inspect.signature(init).parameters if name != "self"]


def _types(registry: Any) -> list[str]:
    """Return the names of what is registered in a registry, and in those above and beside it."""
    while registry.parent is not None:
        registry = registry.parent
    names = [*registry.module_dict]
    for scope, child in registry.children.items():
        names += [f"{scope}.{name}" for name in child.module_dict]
    return names
