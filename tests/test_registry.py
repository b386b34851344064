"""Registries: reachable from every scope, helpful on a wrong name, light to import."""

import subprocess
import sys

import pytest
from mmengine import registry as root
from mmengine.registry import DefaultScope

from mmwsol import registry


def test_every_root_registry_has_a_child():
    ours = {r.name: r for r in vars(registry).values() if isinstance(r, root.Registry)}
    roots = {r.name: r for r in vars(root).values() if isinstance(r, root.Registry)}
    assert set(ours) == set(roots)
    assert all(child.parent is roots[name] and child.scope == "mmwsol" for name, child in ours.items())


@pytest.mark.parametrize("scope", ["mmengine", "mmpretrain", "mmwsol", "mmdet"])
def test_types_resolve_from_any_scope(scope):
    if scope == "mmdet":
        pytest.importorskip("mmdet.models", exc_type=ImportError)  # absent with mmcv-lite
    head = dict(type="mmwsol.ConvCAMHead", num_classes=2, in_channels=4)
    with DefaultScope.overwrite_default_scope(scope):
        assert type(root.MODELS.build(head)).__name__ == "ConvCAMHead"


def test_wrong_name_suggests_the_nearest():
    for build in (registry.MODELS.build, root.MODELS.build):
        with pytest.raises(KeyError, match="did you mean 'mmwsol.ConvCAMHead'"):
            build(dict(type="mmwsol.ConvCamHead", num_classes=2, in_channels=4))
    with pytest.raises(KeyError, match=r"'mmwsol.Qqq' is not in the mmwsol model registry: registered: "):
        registry.MODELS.get("mmwsol.Qqq")


def test_foreign_types_still_resolve():
    assert registry.MODELS.get("mmpretrain.CrossEntropyLoss").__name__ == "CrossEntropyLoss"


def test_import_is_light_and_needs_no_mmdet():
    code = (
        "import sys; import mmwsol; assert 'torch' not in sys.modules\n"
        "sys.modules['mmdet'] = None; sys.modules['pkg_resources'] = None\n"
        "from mmwsol.registry import MODELS; import mmwsol.models, mmwsol.datasets, mmwsol.evaluation.metrics\n"
        "assert MODELS.get('mmwsol.ImageLocalizer')"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
