"""Imports point one way, private names stay in their file, and building a model imports what it needs alone."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]

# From bottom to top: a package imports from itself and from the rows before its own, not from others of its row.
# Imports that only type checkers see (``if TYPE_CHECKING:``) do not count.
LAYERS = (
    ("files", "plain_pickle", "weight_files"),
    ("torch_files",),
    ("compat",),
    ("weight_hubs",),
    ("utils",),
    ("registry",),
    ("structures",),
    ("evaluation.functional",),
    ("datasets", "models"),
    ("methods",),
    ("evaluation", "visualization"),
    ("engine",),
    ("apis",),
    ("integrations", "new_config"),
    ("doctor", "infer_command", "new_command"),
    ("__main__",),
)

# Which method builds on which, as its paper does.
METHODS = {"catr": {"ts_cam"}, "cdtr": {"catr", "ts_cam"}}

# Imports that point the other way: (file, imported module) and why.
ALLOWED = {
    ("utils/__init__.py", "mmwsol.models.weights"): "a path that users know, and that imports it when it is asked for",
}


class Import(NamedTuple):
    file: Path
    line: int
    module: str
    names: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line}: {self.module} {' '.join(self.names)}"


def modules(folder: Path) -> dict[str, Path]:
    """Map module names to files."""
    names = {}
    for file in sorted(folder.rglob("*.py")):
        parts = file.relative_to(folder.parent).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return names


PACKAGE = modules(ROOT / "mmwsol")


def walk(node: ast.AST) -> Iterator[ast.AST]:
    """Visit a syntax tree but for what only type checkers see."""
    yield node
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    for child in ast.iter_child_nodes(node):
        yield from walk(child)


def imports(file: Path) -> Iterator[Import]:
    """List what a file imports, inside functions too."""
    for node in walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(file, node.lineno, alias.name, ())
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                package = file.parent.relative_to(ROOT).parts
                module = ".".join((*package[: len(package) - node.level + 1], *module.split("."))).rstrip(".")
            for alias in node.names:
                whole = f"{module}.{alias.name}"
                yield Import(file, node.lineno, whole if whole in PACKAGE else module, (alias.name,))


def of_package(files: dict[str, Path]) -> list[Import]:
    every = [entry for file in files.values() for entry in imports(file)]
    return [entry for entry in every if entry.module.split(".")[0] == "mmwsol"]


def place(module: str) -> tuple[int, str] | None:
    """Return row and package of a module, the longest that fits; None for mmwsol itself, which all others import."""
    inner = module.removeprefix("mmwsol").removeprefix(".")
    if not inner:
        return None
    fitting = [
        (row, name)
        for row, names in enumerate(LAYERS)
        for name in names
        if inner == name or inner.startswith(f"{name}.")
    ]
    assert fitting, f"{module} is in no row of LAYERS"
    return max(fitting, key=lambda entry: len(entry[1]))


def points_up(importer: str, imported: str) -> bool:
    above, below = place(importer), place(imported)
    return above is not None and below is not None and above != below and above[0] <= below[0]


def test_imports_point_one_way():
    wrong, needed = [], set()
    for name, file in PACKAGE.items():
        for entry in of_package({name: file}):
            if points_up(name, entry.module):
                key = (file.relative_to(ROOT / "mmwsol").as_posix(), entry.module)
                needed.add(key)
                if key not in ALLOWED:
                    wrong.append(str(entry))
    assert not wrong, "\n".join(wrong)
    assert needed == set(ALLOWED), "exceptions that nothing needs any more"


def test_methods_import_those_that_they_build_on():
    for name, file in PACKAGE.items():
        if not name.startswith("mmwsol.methods."):
            continue
        method = name.split(".")[2]
        for entry in of_package({name: file}):
            parts = entry.module.split(".")
            if parts[1:2] == ["methods"] and parts[2:3] != [method]:
                assert set(parts[2:3]) <= METHODS.get(method, set()) and len(parts) > 2, str(entry)


def test_private_names_stay_in_their_file():
    files = {**PACKAGE, **modules(ROOT / "tools"), **modules(ROOT / "tests")}
    names = [(entry, part) for entry in of_package(files) for part in (*entry.module.split("."), *entry.names)]
    wrong = [str(entry) for entry, part in names if part.startswith("_") and not part.endswith("__")]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("importer", "imported", "wrong"),
    [
        ("mmwsol.models.localizer", "mmwsol.evaluation.functional.boxes", False),
        ("mmwsol.models.localizer", "mmwsol.evaluation.metrics", True),
        ("mmwsol.models.localizer", "mmwsol.datasets.base", True),
        ("mmwsol.models.localizer", "mmwsol.models.heads.base", False),
        ("mmwsol.evaluation.functional.boxes", "mmwsol.evaluation.protocols", True),
        ("mmwsol.evaluation.metrics.pxap", "mmwsol.evaluation.functional", False),
        ("mmwsol.registry", "mmwsol.compat", False),
        ("mmwsol.doctor", "mmwsol", False),
    ],
)
def test_rule_of_the_layers(importer, imported, wrong):
    assert points_up(importer, imported) == wrong


BUILD = """
import sys
import mmengine.runner, mmpretrain.models  # these import pictures, and detectors where mmdet is installed
before = set(sys.modules)
from mmwsol.registry import MODELS
arch = dict(embed_dims=24, num_layers=1, num_heads=2, feedforward_channels=48)
backbone = dict(type="mmwsol.TapViT", arch=arch, img_size=32, patch_size=8)
head = dict(type="mmwsol.ConvCAMHead", num_classes=5, in_channels=24)
MODELS.build(dict(type="mmwsol.ImageLocalizer", backbone=backbone, head=head))
print(*sorted(set(sys.modules) - before))
"""


def test_building_a_model_imports_no_more_than_models_need():
    result = subprocess.run([sys.executable, "-W", "ignore", "-c", BUILD], capture_output=True, text=True, check=True)
    new = set(result.stdout.splitlines()[-1].split())
    foreign = ("matplotlib", "mmdet", "mmengine.infer", "mmengine.visualization", "mmpretrain.apis", "numba")
    foreign += ("open_clip", "h5py", "onnx", "onnxscript", "pandas", "timm")
    assert not [name for name in new if name.startswith(foreign)]
    rows = {name.split(".")[1] for name in new if name.startswith("mmwsol.")}
    below = {"files", "weight_files", "torch_files", "compat", "weight_hubs", "utils", "registry", "structures"}
    assert rows == {*below, "evaluation", "datasets", "models", "methods"}
    assert not [n for n in new if n.startswith("mmwsol.evaluation.") and "functional" not in n]
