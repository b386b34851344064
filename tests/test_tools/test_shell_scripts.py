"""What the shell scripts run; ``echo`` stands in for Python and srun."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"


def command(script, *arguments, **variables):
    env = {k: v for k, v in os.environ.items() if k not in ("PORT", "NNODES", "NODE_RANK", "MASTER_ADDR")}
    env |= {"PYTHON": "echo", **variables}
    run = subprocess.run(
        ["bash", str(TOOLS / script), *arguments], capture_output=True, text=True, env=env, check=False
    )
    return run.returncode, run.stdout + run.stderr


def test_dist_train():
    code, text = command("dist_train.sh", "c.py", "4", "--amp", "--work-dir", "a b")
    assert code == 0
    assert "-m torch.distributed.run --standalone --nproc_per_node=4" in text
    assert text.strip().endswith("train.py c.py --launcher pytorch --amp --work-dir a b")
    _, text = command("dist_train.sh", "c.py", "4", PORT="1234")
    assert "--standalone" not in text and "--master_port=1234" in text
    _, text = command("dist_train.sh", "c.py", "8", NNODES="2", NODE_RANK="1", MASTER_ADDR="host0", PORT="99")
    assert "--nnodes=2 --node_rank=1 --master_addr=host0 --master_port=99 --nproc_per_node=8" in text
    code, text = command("dist_train.sh", "c.py")
    assert code == 2 and "CONFIG GPUS" in text


def test_dist_test():
    code, text = command("dist_test.sh", "c.py", "w.pth", "2", "--out", "r.json")
    assert code == 0 and "--nproc_per_node=2" in text
    assert text.strip().endswith("test.py c.py w.pth --launcher pytorch --out r.json")
    code, text = command("dist_test.sh", "c.py", "w.pth")
    assert code == 2 and "CONFIG CHECKPOINT GPUS" in text


def test_slurm_train(tmp_path):
    srun = tmp_path / "srun"
    srun.write_text('#!/bin/sh\necho "$@"\n')
    srun.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    code, text = command(
        "slurm_train.sh", "gpu", "job", "c.py", "work", "--resume", PATH=path, GPUS="4", SRUN_ARGS="-t 1 -x n1"
    )
    assert code == 0
    assert "-p gpu --job-name=job --gres=gpu:4 --ntasks=4 --ntasks-per-node=4" in text
    assert "-t 1 -x n1 echo -u" in text
    assert text.strip().endswith("train.py c.py --work-dir=work --launcher=slurm --resume")
    assert command("slurm_train.sh", "gpu")[0] == 2


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("dist_train.sh", ["c.py", "2"]),
        ("dist_test.sh", ["c.py", "w.pth", "2"]),
        ("slurm_train.sh", ["p", "j", "c.py", "w"]),
    ],
)
def test_the_environment_of_uv_is_found_where_none_is_active(tmp_path, script, arguments):
    for path in ("checkout/tools", "checkout/.venv/bin", "bin"):
        (tmp_path / path).mkdir(parents=True)
    shutil.copy(TOOLS / script, tmp_path / "checkout/tools")
    for path, name in (("checkout/.venv/bin/python", "uv"), ("bin/python", "path"), ("bin/srun", "srun")):
        (tmp_path / path).write_text(f'#!/bin/sh\necho {name} "$@"\n')
        (tmp_path / path).chmod(0o755)
    env = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"}

    def run(**variables):
        command = ["bash", f"checkout/tools/{script}", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=env | variables, capture_output=True, text=True, check=True
        ).stdout

    uv = "checkout/tools/../.venv/bin/python" if script == "slurm_train.sh" else "uv -m"
    assert uv in run()
    for active in (dict(VIRTUAL_ENV="/x"), dict(CONDA_PREFIX="/x"), dict(PYTHON="python")):
        assert uv not in run(**active)
    shutil.rmtree(tmp_path / "checkout/.venv")
    assert uv not in run()
