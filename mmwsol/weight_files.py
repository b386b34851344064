"""The forms in which weights are released, told apart by their first bytes, and readers that run no code of the file.

:func:`mmwsol.compat.load_checkpoint_file` is the one place where weights are read, and says what it takes.
"""

from __future__ import annotations

import io
import json
import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from torch import Tensor

# Where releases keep their weights beside other entries.
CONTAINERS = ("state_dict", "model", "teacher", "fusioscore_net")

AGAIN = "delete it and get it again"

# What other files begin with.
_OTHER_FILES = {
    b"\xff\xd8\xff": "a picture (JPEG)",
    b"\x89PNG": "a picture (PNG)",
    b"GIF8": "a picture (GIF)",
    b"BM": "a picture (BMP)",
    b"II*\0": "a picture (TIFF)",
    b"MM\0*": "a picture (TIFF)",
    b"RIFF": "a picture, sound or video (RIFF)",
    b"%PDF": "a PDF",
    b"\x89HDF": "an HDF5 file, of Keras for example",
    b"\x93NUMPY": "an array of numpy",
    b"\x7fELF": "a program",
    b"MZ": "a program",
}
_TORCH_MAGIC = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # files of torch < 1.6

# A network has some thousand modules with some ten attributes each; the code of one, less than a megabyte.
_MOST_ATTRIBUTES = 10**6
_MOST_CODE = 10**8


def file_form(filename: str) -> str:
    """Tell in which form a file holds weights.

    Args:
        filename: Path of the file.

    Returns:
        'safetensors', 'script' (an archive of ``torch.jit.save``) or 'torch' (of ``torch.save``, or unknown).

    Raises:
        ValueError: If the file is something that is often met in the place of weights: an empty file, a web page, a Git
            LFS pointer, a text, a picture, an archive to unpack, or a damaged file. The message says what to do.
    """
    path = Path(filename)
    size = path.stat().st_size
    if size == 0:
        raise ValueError(f"'{filename}' is empty, its download or copy failed: {AGAIN}.")
    with open(path, "rb") as file:
        head = file.read(512)
    if len(head) > 8 and head[8:9] == b"{" and head[6:8] == b"\0\0":  # length of the header, in 8 bytes, and its JSON
        return "safetensors"
    if head.startswith(b"version https://git-lfs"):
        raise ValueError(
            f"'{filename}' is a Git LFS pointer, not the weights: run 'git lfs pull' in its repository, or download "
            "the file itself."
        )
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        raise ValueError(
            f"'{filename}' is a web page, not weights: the address gave an error, a log-in or a preview. Download the "
            "file itself, and delete this one."
        )
    if head.startswith(b"PK"):
        return _zip_form(filename, size)
    if head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!")):
        raise ValueError(f"'{filename}' is a compressed archive: unpack it, and give the file of weights in it.")
    for magic, kind in _OTHER_FILES.items():
        if head.startswith(magic):
            raise ValueError(f"'{filename}' is {kind}, no checkpoint: give the file of weights.")
    if _is_text(head):
        start = head.decode("utf-8", "replace").strip().splitlines() or [""]
        raise ValueError(f"'{filename}' is a text, not weights; it begins with {start[0][:60]!r}: {AGAIN}.")
    _check_torch_head(filename, head)
    return "torch"


def _check_torch_head(filename: str, head: bytes) -> None:
    """Refuse what does not begin as older files of ``torch.save`` do, as pickles and archives (tar)."""
    if _TORCH_MAGIC in head[:40] or head[257:262] == b"ustar":
        return
    if head[:1] == b"\x80" and 2 <= head[1] <= 5:
        raise ValueError(
            f"'{filename}' is a pickle, but not of torch.save, and was not loaded: any program can write one. Ask for "
            "a file of weights (torch.save(network.state_dict(), FILE))."
        )
    raise ValueError(f"'{filename}' is no checkpoint, or a damaged one; it begins with {head[:8]!r}: {AGAIN}.")


def _zip_form(filename: str, size: int) -> str:
    if not zipfile.is_zipfile(filename):
        raise incomplete(filename, f"{size:,} bytes are there")
    try:
        with zipfile.ZipFile(filename) as archive:
            names = archive.namelist()
    except Exception as error:  # a damaged archive raises anything
        raise incomplete(filename, error) from error
    if any(name.endswith("/constants.pkl") for name in names):
        return "script"
    if any(name.endswith("data.pkl") for name in names):
        return "torch"
    raise ValueError(
        f"'{filename}' is an archive of other files ({', '.join(names[:3])}), not weights: unpack it, and give the "
        "file of weights in it."
    )


def _is_text(head: bytes) -> bool:
    return all(byte >= 32 or byte in b"\t\r\n" for byte in head) and b"\x7f" not in head


def incomplete(filename: str, reason: object) -> ValueError:
    """Make the error of a file that ends too early, or whose content is damaged."""
    return ValueError(f"'{filename}' is incomplete or damaged ({reason}): {AGAIN}.")


def take_weights(loaded: Any, filename: str) -> dict[str, Tensor]:
    """Take the weights by name out of what a file holds.

    Args:
        loaded: Contents of the file: weights, weights in one of ``CONTAINERS``, or a network.
        filename: Its name, for the error.

    Raises:
        ValueError: If there are no weights. The message names the entries.
    """
    import torch
    from torch import nn

    if isinstance(loaded, Mapping):
        for key in CONTAINERS:
            if isinstance(loaded.get(key), (Mapping, nn.Module)):
                loaded = loaded[key]
                break
    if isinstance(loaded, nn.Module):  # of a trusted author: others are refused before
        loaded = loaded.state_dict()
    if not isinstance(loaded, Mapping):
        raise ValueError(f"'{filename}' holds no weights by name, but a {type(loaded).__name__}.")
    if loaded and not any(isinstance(value, torch.Tensor) for value in loaded.values()):
        keys = [key for key, value in loaded.items() if isinstance(value, Mapping) and _has_tensors(value)]
        fix = "It is not a file of weights."
        if keys:
            fix = f"Write those you want to a file: torch.save(torch.load(FILE)[{keys[0]!r}], 'weights.pth')."
        names = ", ".join(map(str, list(loaded)[:8]))
        raise ValueError(f"'{filename}' has no weights under {', '.join(CONTAINERS)}; its entries are {names}. {fix}")
    check_names(loaded, filename)
    return dict(loaded)


def check_names(weights: Mapping[Any, Any], filename: str) -> None:
    """Check that the names of weights are text.

    Raises:
        ValueError: If one is not. The message names ``filename``.
    """
    for name in weights:
        if not isinstance(name, str):
            raise ValueError(f"'{filename}' holds no weights by name: one of its names is {name!r:.40}, no text.")


def _has_tensors(values: Mapping) -> bool:
    import torch

    return any(isinstance(value, torch.Tensor) for value in values.values())


# --- safetensors -----------------------------------------------------------------------------------------------------


def read_safetensors(filename: str) -> dict[str, Tensor]:
    """Read a safetensors file, the form of the Hugging Face hub.

    Raises:
        ValueError: If it is incomplete.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(filename)
    except (SafetensorError, json.JSONDecodeError) as error:
        raise incomplete(filename, error) from error


# --- TorchScript -----------------------------------------------------------------------------------------------------


class _ScriptObject:
    """An object of a TorchScript archive: its attributes, and the name of its class."""

    class_name = ""
    attributes: Any = None

    def __init__(self, *_: Any) -> None:  # a member of an enumeration: other objects are made without
        self.attributes = {}

    def __setstate__(self, state: Any) -> None:
        self.attributes = state


class _ScriptUnpickler(pickle._Unpickler):
    """Unpickle the objects of a TorchScript archive; nothing but tensors, plain values and attributes is made.

    It is Python's own in Python, since the compiled one refuses how torch writes the members of enumerations.
    """

    dispatch: ClassVar[Any] = dict(pickle._Unpickler.dispatch)

    def load_reduce(self) -> None:
        """Call a function on a tuple of arguments, or on the one value that torch writes in its place."""
        stack: Any = self.stack  # type: ignore[attr-defined]
        arguments, function = stack.pop(), stack.pop()
        stack.append(function(*arguments) if isinstance(arguments, tuple) else function(arguments))

    dispatch[pickle.REDUCE[0]] = load_reduce

    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(io.BytesIO(archive.read(f"{root}/data.pkl")))
        self.archive, self.root = archive, root
        self.classes: dict[str, type] = {}
        self.storages: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        import torch

        if module == "__torch__" or module.startswith("__torch__."):
            full = f"{module}.{name}"
            return self.classes.setdefault(full, type(name, (_ScriptObject,), dict(class_name=full)))
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) in (("torch._utils", "_rebuild_tensor_v2"), ("torch._utils", "_rebuild_parameter")):
            return _tensor if name == "_rebuild_tensor_v2" else _first
        if module == "torch.jit._pickle" and re.fullmatch(r"build_\w*list|restore_type_tag", name):
            return _first
        if module == "torch" and name in _storage_types():
            return getattr(torch, _storage_types()[name])
        raise pickle.UnpicklingError(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> Tensor:
        """Read the values of a storage, named as ('storage', type, key, device, number of values)."""
        import torch

        _, dtype, key, _, _ = pid
        if key not in self.storages:
            data = bytearray(self.archive.read(f"{self.root}/data/{key}"))
            self.storages[key] = torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)
        return self.storages[key]


def _storage_types() -> dict[str, str]:
    """Return the type of the values of each type of storage."""
    types = {
        f"{name.capitalize()}Storage": name for name in ("float", "half", "double", "long", "int", "short", "bool")
    }
    return {**types, "CharStorage": "int8", "ByteStorage": "uint8", "BFloat16Storage": "bfloat16"}


def _first(value: Any, *_: Any) -> Any:
    return value


def _tensor(values: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Tensor:
    return values.as_strided(size, stride, offset)  # which checks the bounds


def read_script(filename: str) -> dict[str, Tensor]:
    """Read parameters and buffers of a TorchScript archive, as ``torch.jit.load(filename).state_dict()`` gives them.

    ``torch.jit.load`` runs code of the archive (``__setstate__``), which can write files; here nothing of it is run.

    Raises:
        ValueError: If the weights cannot be known without running code of the archive, or it is damaged.
    """
    with zipfile.ZipFile(filename) as archive:
        root = archive.namelist()[0].split("/")[0]
        try:
            collector = _Collector(_Code(archive, root))
            collector.collect(_ScriptUnpickler(archive, root).load(), "")
        except pickle.UnpicklingError as error:
            raise ValueError(
                f"the TorchScript archive '{filename}' was not loaded: its weights cannot be read without running its "
                f"code ({error}). Ask for a file of weights alone (torch.save(network.state_dict(), FILE))."
            ) from error
        except Exception as error:  # a damaged pickle raises anything
            raise incomplete(filename, error) from error
    return collector.weights


class _Collector:
    """Takes the parameters and buffers of a network and of the networks in it, in its order, under their full names."""

    def __init__(self, code: _Code) -> None:
        self.code = code
        self.weights: dict[str, Tensor] = {}
        self.attributes = 0

    def collect(self, part: _ScriptObject, prefix: str) -> None:
        """Add those of a part; one that stands in several places has several names."""
        import torch

        if not isinstance(part.attributes, dict):
            raise pickle.UnpicklingError(f"{part.class_name} has a __setstate__ of its own")
        self.attributes += 1 + len(part.attributes)
        if self.attributes > _MOST_ATTRIBUTES:
            raise ValueError(f"its networks have more than {_MOST_ATTRIBUTES:,} attributes")
        listed = self.code.listed_weights(part.class_name)
        for name, value in part.attributes.items():
            if isinstance(value, torch.Tensor) and (listed is None or name in listed):
                self.weights[prefix + name] = value
        for name, value in part.attributes.items():
            if isinstance(value, _ScriptObject):
                self.collect(value, f"{prefix}{name}.")


class _Code:
    """The text of the classes of a TorchScript archive, of which every file is read once."""

    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        self.archive, self.root = archive, root
        self.sizes = {part.filename: part.file_size for part in archive.infolist()}
        self.files: dict[str, dict[str, set[str] | None]] = {}
        if sum(size for name, size in self.sizes.items() if name.startswith(f"{root}/code/")) > _MOST_CODE:
            raise ValueError(f"more than {_MOST_CODE:,} bytes of code")

    def listed_weights(self, class_name: str) -> set[str] | None:
        """Return what a class lists as parameters and buffers: other tensors are constants. None: no list."""
        module, _, name = class_name.rpartition(".")
        file = f"{self.root}/code/{module.replace('.', '/')}.py"
        if file not in self.sizes:
            return None
        if file not in self.files:
            text = self.archive.read(file).decode("utf-8")
            classes = (re.match(r"(\w+)\(Module\):\n", part) for part in re.split(r"^class ", text, flags=re.MULTILINE))
            self.files[file] = {found[1]: _listed(found.string) for found in classes if found}
        return self.files[file].get(name)


def _listed(text: str) -> set[str] | None:
    """Return the names in the lists of a class; None if it has none."""
    if "__buffers__ = [" not in text:
        return None
    lists = re.findall(r"^  __(?:parameters|buffers)__ = \[(.*?)\]", text, re.DOTALL | re.MULTILINE)
    return {entry for entries in lists for entry in re.findall(r'"([^"]+)"', entries)}
