"""Find configs by name, in a checkout as in an installed wheel."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmengine.config import Config


def config_root() -> Path:
    """Return the folder of the configs: the checkout's if there is one, else the wheel's.

    Raises:
        FileNotFoundError: If neither exists.
    """
    package = Path(__file__).resolve().parents[1]
    checkout = package.parent
    # Any badly packaged distribution may leave a `configs` folder in site-packages.
    if (checkout / "configs").is_dir() and (checkout / "pyproject.toml").is_file():
        return checkout / "configs"
    wheel = package / ".mim" / "configs"
    if wheel.is_dir():
        return wheel
    raise FileNotFoundError(f"no configs: neither {checkout / 'configs'} nor {wheel} exists.")


def list_configs() -> dict[str, Path]:
    """Map every config name (``'trt_deit-b_cub'``) to its file, without ``_base_`` parts and the detectors of mmdet."""
    root = config_root()
    files = sorted(root.rglob("*.py"))
    return {f.stem: f for f in files if not {"_base_", "mmdet"} & set(f.relative_to(root).parts)}


def find_config(name_or_path: str | Path) -> Path:
    """Return the file of a config.

    Args:
        name_or_path (str | Path): A path, or the name of a config of mmwsol with or without
            ``.py`` (``'trt_deit-b_cub'``).

    Returns:
        Path: An existing file.

    Raises:
        FileNotFoundError: If there is none. The message lists the nearest names.
    """
    path = Path(name_or_path).expanduser()
    if path.is_file():
        return path
    known = list_configs()
    name = path.name.removesuffix(".py")
    if name in known and path.name == str(name_or_path):
        return known[name]
    near = difflib.get_close_matches(name, known, n=5, cutoff=0.4)
    hint = f"the nearest are: {', '.join(near)}" if near else f"there are: {', '.join(known)}"
    raise FileNotFoundError(f"config '{name_or_path}' is neither a file nor the name of a config of mmwsol; {hint}.")


def load_config(name_or_path: str | Path, options: dict[str, Any] | None = None) -> Config:
    """Read a config and merge options into it.

    Args:
        name_or_path (str | Path): As for :func:`find_config`.
        options (dict, optional): What ``--cfg-options`` gave: dotted keys; a number steps into a
            list (``custom_hooks.0.priority``).

    Returns:
        Config: The merged config.
    """
    from mmengine.config import Config

    cfg = Config.fromfile(find_config(name_or_path))
    if options:
        cfg.merge_from_dict(options)
    return cfg
