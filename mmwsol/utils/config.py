"""Find configs by name, in a checkout as in an installed wheel: files, and cells of sweep files."""

from __future__ import annotations

import copy
import difflib
import inspect
import json
import re
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmwsol.compat import find_own_configs
from mmwsol.utils.config_errors import open_configs
from mmwsol.utils.config_text import is_sweep
from mmwsol.utils.sweep_files import FOLDERS, Cell, read_sweep

if TYPE_CHECKING:
    from mmengine.config import Config

MISSING = object()
SCOPE = "mmwsol::"  # before a config of this package: 'mmwsol::sat/sat_deit-s_cub.py', as mmengine writes it
TOOL_SETTINGS = ("find_unused_parameters", "runner_type", "sync_bn", "total_batch_size", "tta_model", "tta_pipeline")
UNSET = "unset"  # a setting that one of two configs lacks, in messages
ENDINGS = (".py", ".json", ".yaml", ".yml")
_REFERENCE = re.compile(r"\{\{\s*_base_\.([\w.]+)\s*\}\}")


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


def tool_file(name: str) -> Path:
    """Return a tool by its path in the folder of the tools (``'train.py'``): the checkout's, or the wheel's.

    Raises:
        FileNotFoundError: If there is none.
    """
    file = config_root().parent / "tools" / name
    if not file.is_file():
        raise FileNotFoundError(f"'{file}' is missing: install mmwsol again.")
    return file


def list_configs() -> dict[str, Path]:
    """Map every config name (``'trt_deit-b_cub'``) to its file, without ``_base_`` parts and the detectors of mmdet."""
    root = config_root()
    files = sorted(root.rglob("*.py"))
    return {f.stem: f for f in files if not {"_base_", "mmdet", *FOLDERS} & set(f.relative_to(root).parts)}


def list_cells() -> dict[str, Cell]:
    """Map the name of every cell (``'sat_deit-s_cub_3-shot'``) of the sweeps of this package to the cell.

    Raises:
        ValueError: If two cells, or a cell and a config, have one name.
    """
    configs = list_configs()
    cells: dict[str, Cell] = {}
    for file in sorted(file for name in FOLDERS for file in config_root().rglob(f"{name}/*.py")):
        for cell in read_sweep(file).cells:
            if cell.is_base:
                continue
            other = configs.get(cell.name) or (cells[cell.name].file if cell.name in cells else None)
            if other is not None:
                raise ValueError(f"'{cell.name}' is a cell of {file} and stands in {other}, too; give it another name.")
            cells[cell.name] = cell
    return cells


def find_config(name_or_path: str | Path) -> Path:
    """Return the file of a config.

    Args:
        name_or_path: A path, or the name of a config of mmwsol with or without
            ``.py`` (``'trt_deit-b_cub'``), or ``'mmwsol::'`` and its path below the folder of configs.

    Returns:
        An existing file; of a cell, the sweep file, which :func:`load_config` reads.

    Raises:
        FileNotFoundError: If there is none. The message lists the nearest names.
    """
    config = _find(name_or_path)
    return config.file if isinstance(config, Cell) else config


def _find(name_or_path: str | Path) -> Path | Cell:
    """Return the file of a config, or a cell; :func:`find_config` says which."""
    given = str(name_or_path).removeprefix(SCOPE)
    path = Path(given).expanduser()
    if given != str(name_or_path):
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"config '{name_or_path}' must be a path below the folder of configs of mmwsol.")
        path = config_root() / path
        path = path if path.is_file() else path.with_name(f"{path.name}.py")
    if path.is_file() and path.suffix in ENDINGS:  # a file without ending may have the name of a config
        return path
    known = list_configs()
    name = Path(given).name.removesuffix(".py")
    plain = Path(given).name == given
    if plain and name in known:
        return known[name]
    cells = list_cells()
    if plain and name in cells:
        return cells[name]
    if path.is_file():
        raise ValueError(f"config '{name_or_path}' has none of the endings {', '.join(ENDINGS)}.")
    names = [*known, *cells]
    near = difflib.get_close_matches(name, names, n=5, cutoff=0.4)
    hint = f"the nearest are: {', '.join(near)}" if near else f"there are: {', '.join(names)}"
    raise FileNotFoundError(f"config '{name_or_path}' is neither a file nor the name of a config of mmwsol; {hint}.")


def find_base(name: Any, config: str) -> Path | None:
    """Return the file that ``_base_`` of a config names; None if it is of another package, as 'mmdet::' says.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If the name is no text, is that of a sweep, or leads back to the config.
    """
    if not isinstance(name, str):
        raise ValueError(f"config '{config}': _base_ is the name of a config or a list of names, got {name!r}.")
    scope = name.partition("::")[0] if "::" in name else ""
    if scope and scope.lower() != SCOPE[:-2]:
        return None
    if scope and not name.startswith(SCOPE):
        raise ValueError(f"config '{config}': _base_ '{name}' must begin with '{SCOPE}'.")
    base = _find(name) if scope else Path(config).parent / name
    if isinstance(base, Cell):
        raise ValueError(f"config '{config}': _base_ '{name}' is a cell of a sweep: name its base '{base.base}'.")
    if not base.is_file():
        hint = f"; configs of mmwsol begin with '{SCOPE}'" if ":" in name or Path(name).stem in list_configs() else ""
        raise FileNotFoundError(f"config '{config}': _base_ '{name}' does not exist{hint}.")
    if is_sweep(base):
        raise ValueError(f"config '{config}': _base_ '{name}' is a sweep, no config: name a base of its cells.")
    above = open_configs(frame for frame, _ in traceback.walk_stack(None))
    if base.resolve() in [Path(file).resolve() for file in above]:
        raise ValueError(f"config '{config}': _base_ '{name}' leads in a circle, {' -> '.join(reversed(above))}.")
    return base


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


def has_part(cfg: Any, key: str, options: Mapping[str, Any]) -> bool:
    """Tell whether a config has the part that a dotted key is a setting of, or gets it from ``<part>.type``."""
    parent = key.rpartition(".")[0]
    grandparent = parent.rpartition(".")[0]
    part = grandparent if f"{parent}.type" in options and grandparent else parent
    return isinstance(read_key(cfg, part), dict) if part else False


def is_new_setting(cfg: Any, key: str) -> bool:
    """Tell whether a dotted key belongs to a setting of the Runner, or of the tools, that a config lacks."""
    from mmengine.runner import Runner

    top = key.split(".")[0]
    return top not in cfg and (top in TOOL_SETTINGS or top in inspect.signature(Runner.__init__).parameters)


def nearest_part(key: str, cfg: Config) -> str:
    """Say how far a config has a dotted key, and what it has there."""
    from mmengine.config import Config

    names = key.split(".")
    depth = next(n for n in range(len(names)) if not has_key(cfg, ".".join(names[: n + 1])))
    what = ".".join(names[:depth]) or "the config"
    part = read_key(cfg, what) if depth else cfg
    if isinstance(part, (dict, Config)):
        return f"{what} has {', '.join(sorted(map(str, part)))}"
    return f"{what} is {part!r}"


def set_options(cfg: Config, options: dict[str, Any]) -> None:
    """Merge options into the config of a stage; ``total_batch_size`` is the training batch, too.

    Args:
        cfg: Changed in place.
        options: Dotted keys and values; a number steps into a list.
    """
    cfg.merge_from_dict(copy.deepcopy(options))
    if "total_batch_size" in options and cfg.get("train_dataloader") is not None:
        cfg.train_dataloader.batch_size = options["total_batch_size"]


def merge_options(cfg: Config, options: dict[str, Any]) -> None:
    """Merge options of the command line into a whole config.

    A config with stages takes those that it has itself; :func:`mmwsol.engine.stages.stage_configs`
    gives the others to the stages that have them.

    Args:
        cfg: Changed in place.
        options: What ``--cfg-options`` gave: dotted keys; a number steps into a list
            (``custom_hooks.0.priority``).

    Raises:
        ValueError: If ``train_dataloader.batch_size`` contradicts ``total_batch_size``, or a config without stages has
            no place for a key.
    """
    batch_size = options.get("train_dataloader.batch_size")
    total = options.get("total_batch_size", cfg.get("total_batch_size"))
    if batch_size is not None and total is not None and batch_size != total:
        raise ValueError(
            f"--cfg-options train_dataloader.batch_size={batch_size} contradicts total_batch_size={total}, the batch "
            "of all GPUs together. Give --cfg-options total_batch_size=N instead: each GPU gets its share."
        )
    if cfg.get("stages"):
        for key in options:
            _check_stage_key(cfg.stages, key)
        options = {k: v for k, v in options.items() if k.split(".")[0] == "stages" or has_key(cfg, k)}
    else:
        for key in options:
            if not has_key(cfg, key) and not has_part(cfg, key, options) and not is_new_setting(cfg, key):
                raise ValueError(
                    f"--cfg-options {key}: the config has no such key. There is: {nearest_part(key, cfg)}."
                )
    set_options(cfg, options)


def _check_stage_key(stages: Any, key: str) -> None:
    """Check that an option ``stages.0.KEY`` names a stage by its number."""
    top, _, rest = key.partition(".")
    part = rest.split(".")[0]
    if top != "stages" or not rest or (part.isdigit() and int(part) < len(stages)):
        return
    names = [stage.get("name") for stage in stages]
    numbered = ", ".join(f"stages.{number} is '{name}'" for number, name in enumerate(names))
    raise ValueError(f"--cfg-options {key}: the config has no stages.{part}; {numbered}.")


def load_config(name_or_path: str | Path, options: dict[str, Any] | None = None) -> Config:
    """Read a config and merge options into it.

    Args:
        name_or_path: As for :func:`find_config`; also the name of a cell of a sweep.
        options: As for :func:`merge_options`. Defaults to None.

    Returns:
        The merged config.

    Raises:
        FileNotFoundError: If there is no such config.
        ValueError: If it is a sweep file.
    """
    source = _find(name_or_path)
    if isinstance(source, Cell):
        cfg = load_cell(source)
    elif is_sweep(source):
        names = ", ".join(cell.name for cell in read_sweep(source).cells)
        raise ValueError(f"'{source}' is a sweep: run it with tools/sweep.py, or name one of its cells: {names}.")
    else:
        cfg = _read(source)
    if options:
        merge_options(cfg, options)
    return cfg


def _read(file: Path) -> Config:
    from mmengine.config import Config

    find_own_configs(find_base)
    cfg = Config.fromfile(file)
    if not len(cfg):
        raise ValueError(f"config '{file}' is empty.")
    return cfg


def load_cell(cell: Cell) -> Config:
    """Merge the settings of a cell into its base.

    Args:
        cell: A cell of a sweep.

    Returns:
        The config. Its file name, which work directories and experiments are named after, is that of the cell,
        beside the sweep file; no such file exists. Of a cell that is its base it is the base's.

    Raises:
        FileNotFoundError: If the base does not exist.
        ValueError: If the base has no place for a key, or another value than a cell that leaves it as it is.
    """
    from mmengine.config import Config

    base = _read(_find_base(cell))
    if cell.is_base:
        for key, value in cell.values.items():
            present = read_key(base, key)
            if present != _fill_in(value, base, cell):
                raise ValueError(
                    f"cell '{cell.name}' of {cell.file} is its base, where {key} is {present!r}; "
                    f"the sweep says {value!r}."
                )
        return base
    cfg = copy.deepcopy(base)
    merge_settings(cfg, {key: _fill_in(value, base, cell) for key, value in cell.overrides.items()}, cell)
    file = cell.file.with_name(f"{cell.name}.py")
    return Config(cfg.to_dict(), cfg_text=f"# {cell.name}, a cell of {cell.file}\n", filename=str(file))


def merge_settings(cfg: Config, settings: dict[str, Any], cell: Cell) -> None:
    """Merge dotted keys into the config of a cell, one after the other.

    Raises:
        ValueError: If the config has no place for a key: all but its last part must be there.
    """
    for key, value in settings.items():
        parent = key.rpartition(".")[0]
        if parent:
            _look_up(cfg, parent, cell)
        set_options(cfg, {key: value})


def _find_base(cell: Cell) -> Path:
    """Return the file of a cell's base: a path relative to the sweep file, or a name."""
    if cell.base.startswith(SCOPE):
        return find_config(cell.base)
    beside = cell.file.parent / cell.base
    if beside.is_file():
        return beside
    known = list_configs()
    name = cell.base.removesuffix(".py")
    if name in known:
        return known[name]
    near = difflib.get_close_matches(Path(name).name, known, n=5, cutoff=0.4)
    hint = f"; the nearest are: {', '.join(near)}" if near else ""
    raise FileNotFoundError(
        f"sweep '{cell.file}': the base '{cell.base}' is neither a file beside it nor the name of a config{hint}."
    )


def _look_up(cfg: Config, key: str, cell: Cell) -> Any:
    """Return what the config of a cell has under a dotted key."""
    value = read_key(cfg, key, MISSING)
    if value is not MISSING:
        return value
    names = key.split(".")
    depth = next(n for n in range(len(names)) if not has_key(cfg, ".".join(names[: n + 1])))
    place = ".".join(names[:depth])
    part = read_key(cfg, place) if place else cfg.to_dict()
    what = f"which has {', '.join(part)}" if isinstance(part, dict) else f"which is {part!r}"
    raise ValueError(
        f"cell '{cell.name}' of {cell.file}: there is no '{names[depth]}' in {place or 'the config'} of "
        f"'{cell.base}', {what}."
    )


def _fill_in(value: Any, base: Config, cell: Cell) -> Any:
    """Replace ``'{{_base_.KEY}}'`` by what the base has under KEY."""
    if isinstance(value, dict):
        return {key: _fill_in(item, base, cell) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_fill_in(item, base, cell) for item in value)
    reference = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    return copy.deepcopy(_look_up(base, reference[1], cell)) if reference else value


def differences(then: Any, now: Any, key: str = "") -> list[str]:
    """Name what differs between two values of JSON, by dotted keys: 'train_cfg.max_epochs (60 -> 30)'."""
    if isinstance(then, dict) and isinstance(now, dict):
        items = [(name, then.get(name, UNSET), now.get(name, UNSET)) for name in sorted({*then, *now})]
    elif isinstance(then, (list, tuple)) and isinstance(now, (list, tuple)) and len(then) == len(now):
        items = [(str(index), *pair) for index, pair in enumerate(zip(then, now, strict=True))]
    else:
        texts = [value if isinstance(value, str) else json.dumps(value, default=str) for value in (then, now)]
        return [] if texts[0] == texts[1] else [f"{key} ({texts[0]} -> {texts[1]})"]
    return [change for name, old, new in items for change in differences(old, new, f"{key}.{name}" if key else name)]
