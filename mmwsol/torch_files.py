"""Files of ``torch.save``: whether they are sound, and what is said of those that are not loaded."""

from __future__ import annotations

import importlib.util
import pickle
import pickletools
import re
import sys
import zipfile

from mmwsol.weight_files import incomplete

TRUST_VARIABLE = "MMWSOL_TRUST_CHECKPOINTS"


def check_content(filename: str) -> None:
    """Compare what an archive holds with its checksums, which torch does not: a wrong bit changes a weight.

    A file of 90 MB takes 0.1 s. Older files are no archives, and some have no checksums (``set_crc32_options(False)``).

    Raises:
        ValueError: If something is not as it was written.
    """
    if not zipfile.is_zipfile(filename):
        return
    try:
        with zipfile.ZipFile(filename) as archive:
            for part in archive.infolist():
                if part.CRC == 0:
                    continue
                with archive.open(part) as content:
                    while content.read(2**20):
                        pass
    except Exception as error:  # a damaged archive raises anything
        raise incomplete(filename, error) from error


def refused(filename: str, error: Exception) -> ValueError:
    """Make the error of a file that torch did not load.

    The way around the guard is named only where the file is sound, so that it is the author who wrote what is refused.
    """
    reason = _reason(error)
    if not isinstance(error, pickle.UnpicklingError):
        return incomplete(filename, reason)
    names = _unsafe_globals(filename) or re.findall(r"GLOBAL ([\w.]*\w) (?:was|whose) ", str(error))
    operand = re.search(r"Unsupported operand (\d+)", reason)
    sound = zipfile.is_zipfile(filename)  # its checksums were compared before
    if operand:
        instruction = next((op for op in pickletools.opcodes if ord(op.code) == int(operand[1])), None)
        sound = sound and instruction is not None
        names = [f"the instruction {instruction.name} of pickle"] if instruction else []
    elif names:
        sound = sound or all(map(_is_known, names))
    if not sound:
        return incomplete(filename, reason)
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ValueError(
        f"checkpoint '{filename}' was not loaded: it holds {', '.join(names[:5]) or reason}{more}, which could run "
        "code of whoever made the file. Ask for a file that holds weights only (a network's author makes it with "
        f"torch.save(network.state_dict(), FILE)) or, if you trust its author, set {TRUST_VARIABLE}=1 and try again."
    )


def _is_known(name: str) -> bool:
    """Tell whether a name of a file without checksums can be meant, and is not the result of a wrong bit."""
    module, _, attribute = name.rpartition(".")
    package = module.partition(".")[0]
    if package in sys.modules:
        return hasattr(sys.modules.get(module), attribute)
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):
        return False


def _unsafe_globals(filename: str) -> list[str]:
    import torch

    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(filename))
    except Exception:  # not a zip archive, or damaged: the caller has the first error
        return []


def _reason(error: Exception) -> str:
    """Take torch's reason out of its page of advice, which is to switch its guard off."""
    text = str(error).strip()
    found = re.search(r"WeightsUnpickler error:\s*(.*)", text)
    reason = found[1] if found else (text.splitlines() or [type(error).__name__])[0]
    reason = re.split(r" was not an allowed global|\. Please |\. In PyTorch", reason)[0].strip()
    return "torch cannot read it" if "weights_only" in reason or not reason else reason
