"""The doctor on made-up environments, and on this one."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mmwsol import doctor

ROOT = Path(__file__).resolve().parents[1]

MODULES = {
    "torch": "2.11.0+cu130",
    "torchvision": "0.26.0+cu130",
    "numpy": "2.4.6",
    "cv2": "5.0.0",
    "timm": "1.0.31",
    "mmengine": "0.10.7",
    "mmcv": "2.1.0",
    "mmpretrain": "1.2.0",
    "mmpretrain.models": "?",
}
DISTS = {
    "torch": "2.11.0",
    "torchvision": "0.26.0",
    "mmengine": "0.10.7",
    "mmcv-lite": "2.1.0",
    "mmpretrain": "1.2.0",
    "opencv-python": "5.0.0",
    "setuptools": "81.0.0",
}


def facts(modules=None, dists=None, without=(), **changes):
    made = doctor.Facts(modules={**MODULES, **(modules or {})}, dists={**DISTS, **(dists or {})}, **changes)
    for name in without:
        made.modules.pop(name, None)
        made.dists.pop(name, None)
    return made


def test_good_environments():
    assert doctor.find_problems(facts()) == []
    mmdet = dict(modules={"mmdet": "3.3.0"}, dists={"mmdet": "3.3.0", "mmcv": "2.1.0"})
    assert doctor.find_problems(facts(**mmdet, without=["mmcv-lite"], mmcv_ops=True)) == []


@pytest.mark.parametrize(
    ("made", "fatal", "text", "fix"),
    [
        (facts(dists={"mmcv": "2.1.0"}), True, "mmcv and mmcv-lite are both", "pip uninstall -y mmcv mmcv-lite"),
        (facts(dists={"mmdet": "3.3.0"}), True, "mmcv._ext", "MMCV_WITH_OPS=1"),
        (
            facts({"mmcv": "2.2.0"}, {"mmdet": "3.3.0", "mmcv": "2.2.0"}, ["mmcv-lite"], mmcv_ops=True),
            True,
            "mmdet 3.3.0 refuses mmcv 2.2.0",
            "mmcv>=2.1,<2.2",
        ),
        (facts({"torchvision": "0.26.0+cpu"}), True, "torchvision::nms", "same index"),
        (facts({"torchvision": "0.25.0+cu130"}), True, "needs 0.26", "same index"),
        (facts(dists={"transformers": "5.2.0"}), False, "transformers 5.2.0", "uninstall -y transformers"),
        (
            replace(
                facts(dists={"transformers": "5.2.0"}, without=["mmpretrain.models"]),
                errors={"mmpretrain.models": "TypeError: NoneType takes no arguments"},
            ),
            True,
            "transformers 5.2.0",
            "uninstall -y transformers",
        ),
        (facts(dists={"opencv-python-headless": "5.0.0"}), False, "libGL.so.1", "opencv-python"),
        (facts(dists={"setuptools": "82.0.1"}), False, "pkg_resources", "setuptools<82"),
        (facts(dists={"onedl-mmengine": "0.10.12"}), True, "onedl-mmengine", "mmengine"),
        (facts(without=["timm"]), True, "timm is not installed", "pip install timm"),
        (facts({"numpy": "2.9.0"}), False, "numpy 2.9.0 is outside", "numpy>=1.26,<2.6"),
        (facts({"torch": "2.1.2", "torchvision": "0.16.2"}), None, "", ""),
    ],
)
def test_findings(made, fatal, text, fix):
    problems = doctor.find_problems(made)
    if fatal is None:
        assert problems == []
        return
    assert problems[0].fatal == fatal
    assert text in problems[0].text
    assert fix in problems[0].fix
    # nothing but consequences of the same cause after it
    assert all("import mmpretrain.models fails" in p.text or "outside the tested" in p.text for p in problems[1:])


def test_this_environment(monkeypatch, capsys):
    code = doctor.main()
    text = capsys.readouterr().out
    assert code == 0, text
    for part in (
        "python ",
        "torch ",
        "mmengine      0.10.",
        "mmpretrain    1.2",
        "mmcv ops",
        "No fatal problem found.",
    ):
        assert part in text
    assert "mmdet" in text and "detectors; needs compiled mmcv" in text  # optional, there or not
    assert "torch is a" in text and ("GPUs: " in text or "no GPU is available" in text)
    broken = facts(dists={"mmcv": "2.1.0"})
    monkeypatch.setattr(doctor, "collect_facts", lambda: broken)
    assert doctor.main() == 1
    assert "ERROR: mmcv and mmcv-lite" in capsys.readouterr().out


def test_runs_where_torch_and_mmengine_are_broken(tmp_path):
    for name in ("torch", "mmengine"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise ImportError('broken')")
    code = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); from mmwsol.__main__ import main; sys.exit(main(['doctor']))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, tmp_path], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1, done.stderr
    assert "ERROR: import torch fails: ImportError: broken" in done.stdout
    assert "This environment cannot work." in done.stdout


def test_old_name_of_the_tool():
    script = ROOT / "tools" / "misc" / "check_env.py"
    done = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "mmwsol doctor" in done.stdout
