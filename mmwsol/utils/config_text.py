"""Read the text of a config without running it."""

from __future__ import annotations

import ast
import os
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmwsol.compat import TRUST_VARIABLE


def read_config_text(text: str, source: str) -> Config:
    """Read the config that mmengine stored in a checkpoint.

    mmengine's ``Config.fromstring`` runs the text as a Python program, which is whatever the author of the checkpoint
    wrote. mmengine itself stores nothing but assignments of plain values, ``dict(...)`` and lists: these are read here,
    anything else is refused. The environment variable ``MMWSOL_TRUST_CHECKPOINTS=1`` turns the restriction off.

    Args:
        text: The config, as ``Config.pretty_text`` gives it.
        source: Where it comes from, for the error message.

    Returns:
        The config. Its ``custom_imports`` are imported only where ``MMWSOL_TRUST_CHECKPOINTS=1``.

    Raises:
        ValueError: If the text is no such config. The message names the line.
    """
    if os.environ.get(TRUST_VARIABLE) == "1":
        return Config.fromstring(text, ".py")
    try:
        values = read_plain_values(text)
    except ValueError as error:
        raise ValueError(
            f"the config in '{source}' was not read: {error}, and could run code of whoever made the file. Pass the "
            f"config file or, if you trust its author, set {TRUST_VARIABLE}=1 and try again."
        ) from error
    return Config(values)


def read_plain_values(text: str) -> dict[str, Any]:
    """Read assignments of plain values, ``dict(...)`` and lists, without running them.

    Args:
        text: Python text.

    Returns:
        The values by name.

    Raises:
        ValueError: If there is anything else in the text, or a name or the key of a dict comes twice. The message names
            the line.
    """
    values: dict[str, Any] = {}
    try:
        statements = ast.parse(text).body
    except (
        SyntaxError,
        ValueError,
        RecursionError,
        MemoryError,
    ) as error:  # zero bytes, 1000 brackets
        raise ValueError(f"it is no Python text: {error or type(error).__name__}") from error
    if len(statements) == 1 and isinstance(statements[0], ast.Expr) and isinstance(statements[0].value, ast.Dict):
        names = _value(statements[0].value)  # how mmengine writes a config with a key that is no name
        if not all(isinstance(name, str) for name in names):
            raise ValueError("its keys are no names")
        return names
    for statement in statements:
        try:
            if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Name):
                raise ValueError("not an assignment to a name")
            if len(statement.targets) > 1 or statement.targets[0].id in values:
                raise ValueError("two names for a value, or a name twice")
            values[statement.targets[0].id] = _value(statement.value)
        except (ValueError, RecursionError) as error:
            line = text.splitlines()[statement.lineno - 1].strip()
            raise ValueError(f"line {statement.lineno} ({line[:60]}) is more than plain values ({error})") from error
    return values


def is_sweep(file: Path) -> bool:
    """Tell by the content of a file whether it is a sweep: plain values with ``base`` or ``bases``, and no model."""
    try:
        names = read_plain_values(file.read_text(encoding="utf-8")).keys()
    except ValueError:
        return False
    return bool(names & {"base", "bases"}) and not names & {"model", "_base_"}


def _value(node: ast.expr) -> Any:
    """Evaluate plain values, lists, tuples, dicts and ``dict(...)``."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.List):
        return [_value(item) for item in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple(_value(item) for item in node.elts)
    if isinstance(node, ast.Set):
        return {_constant(item) for item in node.elts}
    if isinstance(node, ast.Dict) and None not in node.keys:
        read: dict[Any, Any] = {}
        for key, item in zip(node.keys, node.values, strict=True):
            name = _constant(key)
            if name in read:
                raise ValueError(f"the key {name!r} twice")
            read[name] = _value(item)
        return read
    if isinstance(node, ast.Call) and not any(word.arg is None for word in node.keywords):
        name, plain = ast.unparse(node.func), not node.args and not node.keywords
        if name == "set" and plain:
            return set()
        if name == "dict" and not node.args:
            return {word.arg: _value(word.value) for word in node.keywords}
        if name == "dict" and len(node.args) == 1 and isinstance(node.args[0], ast.Dict) and not node.keywords:
            return _value(node.args[0])  # dict({'head.fc.': ...}): keys that are no names
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        number = _value(node.operand)
        if isinstance(number, (int, float)):
            return -number
    if isinstance(node, ast.Name) and node.id in ("inf", "nan"):
        return float(node.id)
    raise ValueError(f"'{ast.unparse(node)[:60]}'")


def _constant(node: ast.expr | None) -> Any:
    """Evaluate a key, or an item of a set: what has a hash."""
    value = None if node is None else _value(node)
    try:
        hash(value)
    except TypeError as error:
        raise ValueError(f"{value!r:.60} as a key") from error
    return value
