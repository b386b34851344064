"""Lists from strangers run no code."""

from __future__ import annotations

import os
import pickle

import pytest
from mmengine.registry import DATASETS


class Evil:
    def __reduce__(self):
        return os.mkdir, ("ran",)


@pytest.mark.parametrize("kind", ["BaseLocDataset", "LocListDataset"])
@pytest.mark.parametrize("name", ["list.pkl", "list.json", "list.csv", "list.txt", "list.yml"])
def test_pickles_as_lists_are_not_run(tmp_path, monkeypatch, kind, name):
    from mmwsol.datasets.base import BaseLocDataset

    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(pickle.dumps(dict(data_list=[Evil()], metainfo={})))
    with pytest.raises(ValueError):
        if kind == "BaseLocDataset":
            BaseLocDataset(ann_file=name)
        else:
            DATASETS.build(dict(type="mmwsol.LocListDataset", ann_file=name, metainfo=dict(classes=["a"])))
    assert not (tmp_path / "ran").exists()
