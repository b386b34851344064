"""Files of a network's weights in the forms in which weights are released, and what is met in their place."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path

import torch
from torch import nn

# Forms that load.
FORMS = ("state_dict", "legacy", "module", "container", "model", "safetensors", "traced", "scripted")

# Others, and what the error says.
REFUSED = {
    "network": r"whole_network.*not loaded: it holds .*weights only",
    "truncated": r"truncated.*incomplete or damaged.*get it again",
    "truncated legacy": r"truncated_legacy.*incomplete or damaged.*get it again",
    "truncated safetensors": r"truncated_safetensors.*incomplete or damaged.*get it again",
    "empty": r"empty.*is empty",
    "page": r"page.* is a web page, not weights.*Download the file itself",
    "pointer": r"pointer.* is a Git LFS pointer.*git lfs pull",
    "text": r"text.* is a text, not weights; it begins with 'Entry not found'",
    "zip": r"zip.* is an archive of other files \(inner.pth\).*unpack it",
    "entries": r"entries.* no weights under state_dict, model.*entries are epoch, net\. .*torch.load\(FILE\)\['net'\]",
    "no weights": r"no_weights.* no weights under .*entries are epoch\. It is not a file of weights",
    "picture": r"picture.* is a picture \(JPEG\), no checkpoint: give the file of weights\.$",
    "other": r"other.* is no checkpoint, or a damaged one; it begins with",
    "pickle": r"pickle.* is a pickle, but not of torch.save, and was not loaded",
    "flipped": r"flipped.* is incomplete or damaged \(Bad CRC-32 for file .*\): delete it and get it again\.$",
    "flipped legacy": r"flipped_legacy.* is incomplete or damaged \(.*\): delete it and get it again\.$",
    "number as name": r"number_as_name.* holds no weights by name: one of its names is 1, no text",
    "bytes in container": r"bytes_in_container.* holds no weights by name: one of its names is b'w', no text",
    "list": r"list.* holds no weights by name, but a list",
}


def write(network: nn.Module, form: str, folder: Path, size: int = 32) -> str:
    """Write the weights of a network for images of ``size`` and return the path; endings do not tell the form."""
    path = str(folder / f"{form}.pth")
    weights = network.state_dict()
    if form == "state_dict":
        torch.save(weights, path)
    elif form == "legacy":  # torchvision's older files
        torch.save(weights, path, _use_new_zipfile_serialization=False)
    elif form == "module":
        torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in weights.items()}}, path)
    elif form in ("container", "model"):
        torch.save({"state_dict" if form == "container" else "model": weights, "epoch": 3}, path)
    elif form == "safetensors":
        from safetensors.torch import save_file

        save_file({name: value.contiguous() for name, value in weights.items()}, path)
    elif form == "traced":
        torch.jit.trace(network, torch.zeros(1, 3, size, size), check_trace=False).save(path)
    else:
        torch.jit.script(network).save(path)
    return path


def write_refused(network: nn.Module, kind: str, folder: Path) -> str:
    """Write a file of ``REFUSED`` and return its path."""
    path = folder / f"{kind.replace(' ', '_')}.pth"
    if kind == "network":
        path = folder / "whole_network.pth"
        torch.save(network, path)
    elif kind.startswith("truncated"):
        form = {"truncated legacy": "legacy", "truncated safetensors": "safetensors"}.get(kind, "state_dict")
        content = Path(write(network, form, folder)).read_bytes()
        path.write_bytes(content[: len(content) * 2 // 3])
    elif kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("inner.pth", b"weights")
    elif kind.startswith("flipped"):
        content = bytearray(Path(write(network, "legacy" if "legacy" in kind else "state_dict", folder)).read_bytes())
        content[content.index(b"_rebuild_tensor_v2") if "legacy" in kind else len(content) // 2] ^= 0x40
        path.write_bytes(content)
    elif kind in ("picture", "other", "pickle"):
        path.write_bytes({"picture": b"\xff\xd8\xff\xe0", "other": b"\1\2\3"}.get(kind, pickle.dumps(os.system)))
    elif kind in ("number as name", "bytes in container"):
        tensor = torch.zeros(1)
        torch.save({1: tensor, "a": tensor} if kind == "number as name" else {"state_dict": {b"w": tensor}}, path)
    elif kind in ("entries", "no weights", "list"):
        entries = {"entries": {"epoch": 3, "net": network.state_dict()}, "no weights": {"epoch": 3}, "list": [1, 2]}
        torch.save(entries[kind], path)
    else:
        contents = {
            "empty": "",
            "page": "\n<!DOCTYPE html><html><title>404</title></html>",
            "pointer": "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
            "text": "Entry not found",
        }
        path.write_text(contents[kind])
    return str(path)
