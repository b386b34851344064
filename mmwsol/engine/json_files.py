"""Read JSON files of a run, which a kill, a full disk or an editor may have damaged."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def read_json(path: str | Path, advice: str, keys: Iterable[str] = ()) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Args:
        path: The file.
        advice: What to do if it is damaged, a sentence.
        keys: What the object must have. Defaults to (): nothing.

    Raises:
        ValueError: If it is damaged. The message names it.
    """
    try:
        content = json.loads(Path(path).read_bytes())
    except (ValueError, RecursionError) as error:  # no JSON, no text, 1000 brackets
        reason = "it is empty" if not Path(path).stat().st_size else f"it is no JSON ({error})"
        raise ValueError(f"'{path}' is damaged: {reason}. {advice}") from error
    if not isinstance(content, dict):
        raise ValueError(f"'{path}' is damaged: it holds no object. {advice}")
    missing = [key for key in keys if key not in content]
    if missing:
        raise ValueError(f"'{path}' is damaged: it has no {', '.join(missing)}. {advice}")
    return content
