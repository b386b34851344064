"""Where the real data of optional tests lies."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_DEFAULT = Path(__file__).resolve().parents[2] / "shared" / "data"
DATA_DIR = Path(os.environ.get("MMWSOL_DATA_DIR", _DEFAULT))


def requires_data(*names: str) -> pytest.MarkDecorator:
    """Skip a test unless every folder ``DATA_DIR/name`` is there."""
    missing = [name for name in names if not (DATA_DIR / name).is_dir()]
    reason = f"no {', '.join(missing)} in MMWSOL_DATA_DIR ({DATA_DIR})"
    return pytest.mark.skipif(bool(missing), reason=reason)
