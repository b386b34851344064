"""Find configs by name, in a checkout as in an installed wheel."""

from __future__ import annotations

import copy
import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmengine.config import Config

MISSING = object()


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


def has_key(cfg: Any, key: str) -> bool:
    """Tell whether a config has a dotted key (``'model.head.num_classes'``, ``'custom_hooks.0.priority'``)."""
    return read_key(cfg, key, MISSING) is not MISSING


def read_key(cfg: Any, key: str, default: Any = None) -> Any:
    """Return the value of a dotted key, or ``default`` where the config does not have it."""
    from mmengine.config import Config

    for name in key.split("."):
        if isinstance(cfg, (list, tuple)) and name.isdigit() and int(name) < len(cfg):
            cfg = cfg[int(name)]
        elif isinstance(cfg, (dict, Config)) and name in cfg:
            cfg = cfg[name]
        else:
            return default
    return cfg


def set_options(cfg: Config, options: dict[str, Any]) -> None:
    """Merge options into the config of a stage; ``total_batch_size`` is the training batch, too.

    Args:
        cfg (Config): Changed in place.
        options (dict): Dotted keys and values; a number steps into a list.
    """
    cfg.merge_from_dict(copy.deepcopy(options))
    if "total_batch_size" in options and cfg.get("train_dataloader") is not None:
        cfg.train_dataloader.batch_size = options["total_batch_size"]


def merge_options(cfg: Config, options: dict[str, Any]) -> None:
    """Merge options of the command line into a whole config.

    A config with stages takes those that it has itself; :func:`mmwsol.engine.stages.stage_configs`
    gives the others to the stages that have them.

    Args:
        cfg (Config): Changed in place.
        options (dict): What ``--cfg-options`` gave: dotted keys; a number steps into a list
            (``custom_hooks.0.priority``).

    Raises:
        ValueError: If ``train_dataloader.batch_size`` contradicts ``total_batch_size``.
    """
    batch_size = options.get("train_dataloader.batch_size")
    total = options.get("total_batch_size", cfg.get("total_batch_size"))
    if batch_size is not None and total is not None and batch_size != total:
        raise ValueError(
            f"--cfg-options train_dataloader.batch_size={batch_size} contradicts total_batch_size={total}, the batch "
            "of all GPUs together. Give --cfg-options total_batch_size=N instead: each GPU gets its share."
        )
    if cfg.get("stages"):
        options = {k: v for k, v in options.items() if k.split(".")[0] == "stages" or has_key(cfg, k)}
    set_options(cfg, options)


def load_config(name_or_path: str | Path, options: dict[str, Any] | None = None) -> Config:
    """Read a config and merge options into it.

    Args:
        name_or_path (str | Path): As for :func:`find_config`.
        options (dict, optional): As for :func:`merge_options`. Defaults to None.

    Returns:
        Config: The merged config.
    """
    from mmengine.config import Config

    cfg = Config.fromfile(find_config(name_or_path))
    if options:
        merge_options(cfg, options)
    return cfg
