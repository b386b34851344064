"""Configs that cannot be loaded: one line names the file and the cause."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

from mmwsol.registry import MODELS
from mmwsol.utils.config import find_config, load_config
from mmwsol.utils.config_errors import config_error_line
from mmwsol.utils.tool_errors import TRACEBACK_VARIABLE, one_line_errors

FILES = {
    "fine.py": "model = dict(head=dict(type='X'))\n",
    "circle.py": "_base_ = ['./around.py']\n",
    "around.py": "_base_ = ['circle.py']\n",
    "number.py": "_base_ = 3\n",
    "numbers.py": "_base_ = ['fine.py', 3]\n",
    "empty.py": "",
    "comment.py": "# nothing\n",
    "syntax.py": "a = 1\nb = (\n",
    "over_syntax.py": "_base_ = 'syntax.py'\n",
    "name.py": "_base_ = 'fine.py'\na = 1\nb = foo\n",
    "over_name.py": "_base_ = 'name.py'\n",
    "twice.py": "_base_ = ['fine.py', 'again.py']\n",
    "again.py": "model = dict()\n",
    "reference.py": "_base_ = 'fine.py'\nx = {{_base_.model.hed}}\n",
    "merge.py": "_base_ = 'fine.py'\nmodel = dict(head=dict(type=dict(a=1)))\n",
    "gone.py": "_base_ = ['nothere.py']\n",
    "cell.py": "_base_ = 'mmwsol::sat_deit-s_cub_3-shot'\n",
    "sweep.py": "_base_ = 'mmwsol::quickstart/sweeps/shapes.py'\n",
    "upper.py": "_base_ = 'MMWSOL::sat_deit-s_cub'\n",
    "colon.py": "_base_ = 'mmwsol:sat_deit-s_cub'\n",
    "bare.py": "_base_ = 'sat_deit-s_cub'\n",
    "above.py": "_base_ = 'mmwsol::../tests/tiny.py'\n",
    "broken.json": "{",
    "sat_deit-b_cub": "model = 1\n",
    "mine": "model = 1\n",
}


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        Path(name).write_text(text)


def line_of(config, options=None):
    """Return the line that a tool ends with."""
    with pytest.raises(SystemExit) as end, one_line_errors(str(config)):
        load_config(config, options)
    assert isinstance(end.value.code, str) and "\n" not in end.value.code
    return end.value.code


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("circle.py", r"around.py': _base_ 'circle.py' leads in a circle, .*circle.py -> .*around.py\.$"),
        ("number.py", r"number.py': _base_ is the name of a config or a list of names, got 3\.$"),
        ("numbers.py", r"numbers.py': _base_ is the name of a config or a list of names, got 3\.$"),
        ("empty.py", r"config 'empty.py' is empty\.$"),
        ("comment.py", r"config 'comment.py' is empty\.$"),
        ("syntax.py", r"^SyntaxError: .* \(in config 'syntax.py', line 2\)$"),
        ("over_syntax.py", r"^SyntaxError: .* \(in config '.*/syntax.py', line 2\)$"),
        ("name.py", r"^NameError: name 'foo' is not defined \(in config '.*/name.py', line 3\)$"),
        ("over_name.py", r"^NameError: name 'foo' is not defined \(in config '.*/name.py', line 3\)$"),
        ("twice.py", r"^KeyError: Duplicate key .*'model'.* \(in config '.*/twice.py'\)$"),
        ("reference.py", r"^KeyError: there is no 'hed' \(in config '.*/reference.py'\)$"),
        ("merge.py", r"^TypeError: type=.* cannot inherit from base .* \(in config '.*/merge.py'\)$"),
        ("gone.py", r"^FileNotFoundError: config '.*/gone.py': _base_ 'nothere.py' does not exist\.$"),
        ("cell.py", r"cell.py': _base_ .* is a cell of a sweep: name its base 'sat_deit-s_cub'\.$"),
        ("sweep.py", r"sweep.py': _base_ .* is a sweep, no config: name a base of its cells\.$"),
        ("upper.py", r"upper.py': _base_ 'MMWSOL::sat_deit-s_cub' must begin with 'mmwsol::'\.$"),
        ("colon.py", r"colon.py': _base_ .* does not exist; configs of mmwsol begin with 'mmwsol::'\.$"),
        ("bare.py", r"bare.py': _base_ .* does not exist; configs of mmwsol begin with 'mmwsol::'\.$"),
        ("above.py", r"config 'mmwsol::.*' must be a path below the folder of configs of mmwsol"),
        ("mmwsol::../pyproject.toml", r"must be a path below the folder of configs of mmwsol\.$"),
        ("mmwsol::/etc/hosts", r"must be a path below the folder of configs of mmwsol\.$"),
        ("broken.json", r"^JSONDecodeError: .* \(in config '.*broken.json'\)$"),
        ("mine", r"config 'mine' has none of the endings \.py, \.json, \.yaml, \.yml\.$"),
    ],
)
def test_one_line(files, config, message):
    assert re.search(message, line_of(config)), line_of(config)


def test_traceback_on_demand(files, monkeypatch):
    monkeypatch.setenv(TRACEBACK_VARIABLE, "1")
    with pytest.raises(NameError), one_line_errors("name.py"):
        load_config("name.py")


def test_names_win_over_files_without_ending(files):
    assert find_config("sat_deit-b_cub").suffix == ".py"


def test_names_below_the_folder_without_ending(tmp_path):
    assert find_config("mmwsol::sat/sat_deit-s_cub") == find_config("sat_deit-s_cub")
    (tmp_path / "mine.py").write_text("_base_ = 'mmwsol::sat/sat_deit-s_cub'\n")
    assert load_config(tmp_path / "mine.py").model == load_config("sat_deit-s_cub").model


def test_one_base_of_two_bases(files):
    """Two ways to one file are no circle."""
    Path("a.json").write_text("{}")
    Path("b.py").write_text("_base_ = 'a.json'\nx = 1\n")
    Path("c.py").write_text("_base_ = ['a.json', 'b.py']\n")
    assert load_config("c.py").x == 1


def test_errors_of_programs_are_none_of_configs():
    try:
        raise KeyError("x")
    except KeyError as error:
        assert config_error_line(error, "mine.py") is None


class Own:
    """A class with bugs, as a user may register one."""

    def __init__(self, bug, settings=None):
        {"index": lambda: {}["x"], "attribute": lambda: settings.gone, "call": lambda: Own(setings=1)}[bug]()


WHERE = "(in Own of config 'c.py'; MMWSOL_TRACEBACK=1 shows where)"


@pytest.mark.parametrize(
    ("options", "end"),
    [
        (dict(bug="index"), f"there is no 'x' {WHERE}"),
        (dict(bug="attribute", settings=dict(a=1)), f"no attribute 'gone' {WHERE}"),
        (dict(bug="call"), f"unexpected keyword argument 'setings'; the nearest is 'settings' {WHERE}"),
        (dict(setings=1), "unexpected keyword argument 'setings'; the nearest is 'settings' (in Own of config 'c.py')"),
        (dict(), "missing 1 required positional argument: 'bug' (in Own of config 'c.py')"),
        (dict(type="Owm"), "did you mean 'mmwsol.Own'? (in Owm of config 'c.py')"),
    ],
)
def test_bugs_of_classes_are_no_errors_of_configs(options, end):
    """The line says how to see where; errors of the call itself, as a wrong type, need no traceback."""
    MODELS.register_module(module=Own, force=True)
    with pytest.raises(SystemExit) as stopped, one_line_errors("c.py"):
        MODELS.build(Config({"a": {"type": "Own", **options}}).a)
    assert stopped.value.code.endswith(end), stopped.value.code


def test_bugs_of_imported_modules(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("own_bug.py").write_text("{}['x']\n")
    Path("c.py").write_text("custom_imports = dict(imports=['own_bug'])\na = 1\n")
    assert line_of("c.py") == "KeyError: there is no 'x' (in config 'c.py'; MMWSOL_TRACEBACK=1 shows where)"


def test_interrupt(capsys):
    with pytest.raises(SystemExit) as end, one_line_errors("mine.py", "with --resume it goes on"):
        raise KeyboardInterrupt
    assert end.value.code == 130
    with pytest.raises(SystemExit) as end, one_line_errors("mine.py", "with --resume it goes on"):
        try:
            raise KeyboardInterrupt
        except BaseException:
            raise SyntaxError("cannot format") from None
    assert end.value.code == 130
    assert capsys.readouterr().err == 2 * "\nInterrupted: with --resume it goes on.\n"


PRINTS = """
import logging, sys
from mmwsol.utils.tool_errors import one_line_errors
with one_line_errors():
    logger = logging.getLogger("x")
    logger.addHandler(logging.StreamHandler(sys.stdout))
    for number in range(3000):
        print("line", number)
        logger.warning("more")
    print("done", file=sys.stderr)
"""


def test_reader_that_goes_away():
    """``mmwsol train mine.py | head -1`` trains on, and says nothing more."""
    program = subprocess.Popen(
        [sys.executable, "-c", PRINTS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert program.stdout.readline() == "line 0\n"
    program.stdout.close()
    assert program.stderr.read() == "done\n"
    program.stderr.close()
    assert program.wait() == 0
