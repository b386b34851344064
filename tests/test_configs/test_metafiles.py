"""Metafiles: names, files, types of figures; and the tables of the READMEs, which are made of them."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from mmwsol.apis import list_models, read_model_index
from mmwsol.utils.config import find_config
from mmwsol.utils.sweep_files import read_sweep

ROOT = Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("tables", ROOT / "tools/misc/build_readme_tables.py")
tables = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tables)

METAFILES = sorted(ROOT.glob("configs/*/metafile.yml"))
# Configs that stand for no published or measured model.
NOT_LISTED: set[str] = set()
COLLECTION_KEYS = {"Name", "Metadata", "Paper", "README", "Code"}
MODEL_KEYS = {"Name", "In Collection", "Config", "Metadata", "Results"}
OPTIONAL_MODEL_KEYS = {"Variant", "Note", "Weights"}
RESULT_KEYS = {"Task", "Dataset", "Paper", "Metrics"}


def check_figures(figures, place):
    for metric, value in figures.items():
        assert isinstance(value, (int, float)) and not isinstance(value, bool), f"{place}: {metric} is no number"
        assert 0 <= value <= 100, f"{place}: {metric} is in percent"
        assert metric in tables.METRICS, f"{place}: {metric} has no column name in build_readme_tables.py"


@pytest.mark.parametrize("path", METAFILES, ids=lambda path: path.parent.name)
def test_metafile(path):
    content = yaml.safe_load(path.read_text())
    assert set(content) == {"Collections", "Models"}
    collections = {entry["Name"] for entry in content["Collections"]}
    for entry in content["Collections"]:
        place = f"{path.parent.name}: {entry['Name']}"
        assert set(entry) == COLLECTION_KEYS, place
        assert set(entry["Paper"]) == {"Title", "URL", "Venue"} and set(entry["Metadata"]) == {
            "Architecture",
            "Networks",
        }
        assert (ROOT / entry["README"]).is_file(), place
        for url in (entry["Paper"]["URL"], entry["Code"]["URL"]):
            assert url.startswith("https://") and "openmmlab.com" not in url, place
    for model in content["Models"]:
        place = f"{path.parent.name}: {model['Name']}"
        assert set(model) - OPTIONAL_MODEL_KEYS == MODEL_KEYS, place
        config = ROOT / model["Config"]
        assert config.is_file() and config == find_config(model["Name"]), place  # of a cell: the sweep file
        assert model["In Collection"] in collections, place
        assert set(model["Metadata"]) == {"Epochs", "Input"}, place
        assert all(isinstance(value, int) for value in model["Metadata"].values()), place
        assert all(isinstance(model.get(key, ""), str) for key in OPTIONAL_MODEL_KEYS), place
        for result in model["Results"]:
            assert set(result) - {"Baseline"} == RESULT_KEYS, place
            assert result["Task"] == "Weakly-supervised Object Localization", place
            assert isinstance(result["Dataset"], str), place
            for key in ("Paper", "Metrics", "Baseline"):
                check_figures(result.get(key, {}), place)


@pytest.mark.parametrize("path", sorted(ROOT.glob("configs/*/sweeps/*.py")), ids=lambda p: f"{p.parts[-3]}-{p.stem}")
def test_figures_of_the_papers_are_those_of_the_sweeps(path):
    index = read_model_index()
    for cell in read_sweep(path).cells:
        listed = index[cell.name].paper
        if cell.is_base:  # the metafile has more of its figures
            listed = {metric: listed[metric] for metric in cell.paper}
        assert cell.paper == listed, cell.name


def test_every_config_is_listed_once():
    listed = [model["Name"] for path in METAFILES for model in yaml.safe_load(path.read_text())["Models"]]
    assert len(listed) == len(set(listed))
    assert set(list_models()) == set(listed) | NOT_LISTED
    assert not set(listed) & NOT_LISTED
    index = yaml.safe_load((ROOT / "configs/model-index.yml").read_text())["Import"]
    assert sorted(index) == [path.relative_to(ROOT).as_posix() for path in METAFILES]
    assert set(read_model_index()) == set(listed)


def run_tables(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["build_readme_tables.py", *map(str, arguments)])
    tables.main()


def test_tables_of_the_readmes_are_up_to_date(monkeypatch, capsys):
    run_tables(monkeypatch, "--check")
    assert "up to date" in capsys.readouterr().out
    for path in METAFILES:
        assert "<!-- table:" in (path.parent / "README.md").read_text(), f"{path.parent.name}/README.md has no table"


@pytest.fixture
def copy(tmp_path):
    shutil.copy(ROOT / "README.md", tmp_path)
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    return tmp_path


def test_tables_follow_the_metafiles(copy, monkeypatch):
    metafile, readme = copy / "configs/ts-cam/metafile.yml", copy / "configs/ts-cam/README.md"
    text = metafile.read_text()
    assert "loc/top1: 71.3," in text
    metafile.write_text(
        text.replace("loc/top1: 71.3,", "loc/top1: 70.00,").replace("loc/gt_known: 80.8", "loc/gt_known: 81")
    )
    with pytest.raises(SystemExit, match="not up to date: README.md, configs/ts-cam/README.md; run python"):
        run_tables(monkeypatch, "--check", "--root", copy)
    run_tables(monkeypatch, "--root", copy)
    assert "| CUB | 80.3 | 70.00 | 83.8 | 87.7 | – | – |" in readme.read_text()  # with the digits of the metafile
    assert "): 17 | 81 | 74.2 |" in (copy / "README.md").read_text()
    run_tables(monkeypatch, "--check", "--root", copy)


def test_a_new_metafile_enters_the_model_index(copy, monkeypatch):
    index = copy / "configs/model-index.yml"
    before = yaml.safe_load(index.read_text())["Import"]
    (copy / "configs/aaa").mkdir()
    (copy / "configs/aaa/metafile.yml").write_text("Collections: []\nModels: []\n")
    with pytest.raises(SystemExit, match="not up to date: configs/model-index.yml"):
        run_tables(monkeypatch, "--check", "--root", copy)
    run_tables(monkeypatch, "--root", copy)
    assert yaml.safe_load(index.read_text())["Import"] == [*before, "configs/aaa/metafile.yml"]


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ("<!-- table: papers = loc/top1 -->\n<!-- end of table -->\n", "unknown option 'papers = loc/top1'"),
        ("<!-- table: paper = loc/best -->\n<!-- end of table -->\n", "unknown metric 'loc/best'"),
        ("<!-- table: models = x* -->\n<!-- end of table -->\n", "has no row"),
        ("<!-- table: paper = loc/top1 -->\n", "no '<!-- end of table -->'"),
    ],
)
def test_table_errors(copy, monkeypatch, table, text):
    (copy / "configs/lctr/README.md").write_text(table)
    with pytest.raises(ValueError, match=text):
        run_tables(monkeypatch, "--root", copy)
