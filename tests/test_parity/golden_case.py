"""Golden cases: loading, and the record of which arrays a test has compared."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

TESTS = Path(__file__).resolve().parents[1]
GOLDEN_DIR = Path(os.environ.get("MMWSOL_GOLDEN_DIR", TESTS / "golden"))

sys.path.insert(0, str(TESTS / "golden"))
import recipe  # noqa: E402

# Official codes take mean accuracies in float32, where one third is 33.3333206 %: percentages are compared to this. It
# hides nothing: one image of 50,000 is 2e-3.
PERCENT = 1e-5
FLOAT32 = 1e-4  # tolerance of networks in float32, relative to the largest value or 1
# Gradients in float32 carry the rounding of all layers behind them, which grows with width and depth: those of wide
# networks agree to this, relative to the largest gradient, whatever its size.
FLOAT32_GRADIENTS = 2e-3


def case_paths(method: str) -> list[Path]:
    return sorted((GOLDEN_DIR / method).glob("*.npz"))


def without_largest(paths: list[Path], largest: str) -> list:
    """Make parameters of cases; the largest has the marker ``all_configs``: the suite has it in float64."""
    marks = {largest: [pytest.mark.all_configs]}
    assert largest in [path.stem for path in paths]
    return [pytest.param(path, id=path.stem, marks=marks.get(path.stem, [])) for path in paths]


class Case:
    """One ``.npz``: ``case[name]`` gives an array and notes that the test used it."""

    def __init__(self, path: Path) -> None:
        self.meta, self.arrays = recipe.load(path)
        self.used: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self.arrays

    def __getitem__(self, name: str) -> np.ndarray:
        self.used.add(name)
        return self.arrays[name]

    def names(self, prefix: str) -> list[str]:
        """Names after ``prefix``."""
        return [name[len(prefix) :] for name in self.arrays if name.startswith(prefix)]

    def state(self) -> dict[str, np.ndarray]:
        self.used.update(name for name in self.arrays if name.startswith("sd/"))
        return recipe.state(self.meta, self.arrays)

    def inputs(self) -> np.ndarray:
        self.used.update(name for name in ("image", self.meta["input"].get("key")) if name)
        return recipe.inputs(self.meta, self.arrays)

    def close(self, name: str, ours, tolerance: float = 1e-9) -> None:
        """Compare with array ``name``; a float32 array carries its own rounding."""
        expected = self[name]
        if expected.dtype == np.float32:
            tolerance = max(tolerance, 2e-6)
        scale = max(1.0, float(np.abs(expected).max(initial=0)))
        ours = ours.detach().cpu().numpy() if hasattr(ours, "detach") else np.asarray(ours)
        assert ours.shape == expected.shape, (name, ours.shape, expected.shape)
        error = float(np.abs(ours.astype(np.float64) - expected).max(initial=0))
        assert error <= tolerance * scale, f"{name}: off by {error:.3g}, allowed {tolerance * scale:.3g}"

    def close_gradients(self, name: str, ours, tolerance: float = 1e-9, among: Sequence[str] = ()) -> None:
        """Compare gradients, or their norms, with array ``name``.

        In float32 to ``FLOAT32_GRADIENTS`` of the largest, in float64 to ``tolerance`` as anything else.

        Args:
            name: Name of the array.
            ours: What is compared with it.
            tolerance: As in :meth:`close`; ``FLOAT32`` says that the network is in float32. Defaults to 1e-9.
            among: Names of arrays that hold the other gradients of the same loss, to find the largest. Defaults to ():
                the array holds them all.
        """
        if tolerance < FLOAT32:
            self.close(name, ours, tolerance)
            return
        expected = self[name]
        ours = ours.detach().cpu().numpy()
        assert ours.shape == expected.shape, (name, ours.shape, expected.shape)
        largest = max(float(np.abs(self.arrays[other]).max(initial=0)) for other in (name, *among))
        error = float(np.abs(ours.astype(np.float64) - expected).max(initial=0))
        allowed = FLOAT32_GRADIENTS * largest
        assert error <= allowed, f"{name}: off by {error:.3g}, allowed {allowed:.3g}"

    def all_used(self) -> None:
        """Fail if the file holds an array that no comparison used."""
        unused = sorted(set(self.arrays) - self.used)
        assert not unused, f"no comparison used {unused}"
