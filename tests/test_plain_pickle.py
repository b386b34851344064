"""Pickles from anybody: plain values and arrays come back, nothing else is built, in every reader."""

from __future__ import annotations

import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from mmwsol import plain_pickle
from mmwsol.compat import load_checkpoint_file
from mmwsol.evaluation.results_file import load_results
from mmwsol.plain_pickle import read_plain_pickle

VALUES = [
    np.arange(6, dtype=np.float32).reshape(2, 3),
    np.asfortranarray(np.arange(6).reshape(2, 3)),
    np.array([True, False]),
    np.array(["a", "bcd"]),
    np.array([b"a", b"bcd"]),
    np.array(3.5),
    np.zeros((0, 4), np.int64),
    np.arange(3, dtype=">i4"),
    np.array([1 + 2j]),
    np.float64(0.5),
    np.int8(3),
    np.bool_(True),
    np.str_("abc"),
    np.float16(1),
]


def equal(a, b):
    return type(a) is type(b) and a.dtype == b.dtype and np.array_equal(a, b)


@pytest.mark.parametrize("protocol", range(2, 6))
def test_arrays_and_numbers_come_back(protocol):
    value = dict(a=[VALUES, (1, "x", None)], b={1.5: {"c"}}, d=b"bytes", e=b"")
    read = read_plain_pickle(pickle.dumps(value, protocol))
    expected = pickle.loads(pickle.dumps(VALUES, protocol))  # numpy itself changes the byte order of some
    assert all(equal(a, b) for a, b in zip(read["a"][0], expected, strict=True))
    assert read["a"][1] == value["a"][1] and {k: read[k] for k in "bde"} == {k: value[k] for k in "bde"}


def test_checkpoints_hold_arrays_and_can_be_written_again(tmp_path):
    """Without a name of this package in the new file."""
    buffer = HistoryBuffer()
    buffer.update(0.5)
    torch.save(dict(state_dict=dict(w=torch.zeros(1)), values=VALUES, loss=buffer), tmp_path / "a.pth")
    read = load_checkpoint_file(str(tmp_path / "a.pth"))
    read["loss"].update(1.5)
    torch.save(read, tmp_path / "b.pth")
    again = load_checkpoint_file(str(tmp_path / "b.pth"))
    assert again["loss"].mean() == 1.0
    assert all(np.array_equal(a, b) for a, b in zip(again["values"], VALUES, strict=True))
    assert b"mmwsol" not in zipfile.ZipFile(tmp_path / "b.pth").read("b/data.pkl")


class Call:
    """Is pickled as a call of a function, and perhaps with a state."""

    def __init__(self, function, *args, state=None):
        self.made = (function, args, state)

    def __reduce__(self):
        return self.made


def forged(*args, function=np.ndarray, **state):
    return Call(function, *args, **state)


reconstruct = np.zeros(1).__reduce__()[0]
scalar = np.float64(1).__reduce__()[0]
frombuffer = np.zeros(1).__reduce_ex__(5)[0]
WIDE = np.dtype([("a", "f8"), ("b", "O")])
HOSTILE = {
    "object array": forged((1,), "O", b"12345678"),
    "buffer of an array": forged((4,), "f8", b"12345678" * 4),
    "array beyond its bytes": Call(reconstruct, np.ndarray, (0,), b"b", state=(1, (999,), np.dtype("f8"), False, b"1")),
    "negative side": Call(reconstruct, np.ndarray, (0,), b"b", state=(1, (-1,), np.dtype("f8"), False, b"")),
    "huge sides": Call(reconstruct, np.ndarray, (0,), b"b", state=(1, (2**40, 2**40), np.dtype("f8"), False, b"")),
    "objects as state": Call(reconstruct, np.ndarray, (0,), b"b", state=(1, (1,), np.dtype("O"), False, [1])),
    "state of objects as bytes": Call(
        reconstruct, np.ndarray, (0,), b"b", state=(1, (1,), np.dtype("O"), False, b"12345678")
    ),
    "composed type": Call(reconstruct, np.ndarray, (0,), b"b", state=(1, (1,), WIDE, False, b"1" * 16)),
    "other class": Call(reconstruct, np.matrix, (0,), b"b"),
    "short state": Call(reconstruct, np.ndarray, (0,), b"b", state=(1, (1,))),
    "state of another kind": Call(reconstruct, np.ndarray, (0,), b"b", state={"a": 1}),
    "type as the state of an array": Call(np.dtype, "O"),
    "type of a name": Call(np.dtype, "numpy.float64"),
    "type with a forged state": Call(
        np.dtype, "f8", False, True, state=(3, "<", None, ("a",), {"a": (np.dtype("f8"), 99)}, 999, 1, 63)
    ),
    "object scalar": Call(scalar, np.dtype("O"), b"12345678"),
    "scalar beyond its bytes": Call(scalar, np.dtype("f8"), b"1"),
    "buffer of objects": Call(frombuffer, b"12345678", np.dtype("O"), (1,), "C"),
    "command": Call(os.system, "touch ran"),
    "evaluation": Call(eval, "open('ran', 'w')"),
    "function of numpy": Call(np.fromfile, "/etc/hostname"),
    "memory": Call(bytes, 10**12),
    "text of no length": Call(reconstruct, np.ndarray, (0,), b"b", state=(1, (10**18,), np.dtype("S0"), False, b"")),
    "rows of no length": Call(
        reconstruct, np.ndarray, (0,), b"b", state=(1, (10**9, 10**9, 0), np.dtype("f8"), False, b"")
    ),
    "buffer of no length": Call(frombuffer, b"", np.dtype("S0"), 3 * 10**9),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles_are_refused_by_every_reader(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    content = pickle.dumps(dict(metrics={}, predictions=[HOSTILE[name]]), 2)
    with pytest.raises(ValueError):
        read_plain_pickle(content)
    (tmp_path / "results.pkl").write_bytes(content)
    with pytest.raises(ValueError, match=r"results.pkl' is no results file"):
        load_results(tmp_path / "results.pkl")
    torch.save(dict(state_dict={}, x=HOSTILE[name]), tmp_path / "a.pth")
    with pytest.raises(ValueError, match="a.pth"):
        load_checkpoint_file(str(tmp_path / "a.pth"))
    assert not (tmp_path / "ran").exists()


def nested(make, levels=40):
    value = make(1)
    for _ in range(levels):
        value = make(value)
    return value


@pytest.mark.parametrize("make", [lambda x: [x, x], lambda x: (x, x), lambda x: {"a": x, "b": x}])
def test_parts_that_occur_several_times_take_no_time(make):
    with pytest.raises(ValueError, match="unfolds to more than"):
        read_plain_pickle(pickle.dumps(nested(make)))
    row = nested(make, 3)
    read = read_plain_pickle(pickle.dumps([row, row, {"a": np.ones(2)}]))
    assert read[:2] == [row, row] and read[0] is read[1] and type(read[2]["a"]) is np.ndarray


def test_pickles_that_hold_themselves_are_refused():
    value = []
    value.append({"a": (value,)})
    with pytest.raises(ValueError, match="holds itself"):
        read_plain_pickle(pickle.dumps(value))


@pytest.mark.parametrize("name", ["numpy.core.multiarray scalar", "numpy ndarray", "numpy dtype", "_codecs encode"])
def test_pickles_change_no_function(name):
    """For the rest of the process: BUILD with (None, {'__defaults__': (1,)}) on a function or class."""
    module, function = name.encode().split()
    attributes = b"N}\x8c\x0c__defaults__K\x01\x85s\x86"
    content = b"\x80\x04c" + module + b"\n" + function + b"\n" + attributes + b"b."
    with pytest.raises(ValueError, match="it sets attributes of|__setstate__"):
        read_plain_pickle(content)
    assert plain_pickle.scalar.__defaults__ == (b"",) and plain_pickle.encode.__defaults__ == ("latin1",)
    assert read_plain_pickle(pickle.dumps(np.float64(0.5), 2)) == 0.5


def test_checkpoints_change_no_statistic(tmp_path):
    """mmengine keeps the statistics of a file's HistoryBuffer for all others of the process."""
    buffer = HistoryBuffer([1.0, 3.0], [1, 1])
    before = dict(HistoryBuffer._statistics_methods)
    forged_one = HistoryBuffer()
    forged_one.__dict__["_statistics_methods"] = {**before, "mean": HistoryBuffer.max}
    torch.save(dict(state_dict={}, loss=forged_one), tmp_path / "a.pth")
    load_checkpoint_file(str(tmp_path / "a.pth"))
    assert HistoryBuffer._statistics_methods == before and buffer.statistics("mean") == 2.0


DAMAGED = [b"", b"\x80", b"no pickle", b"\x80\x04N", b"(" * 9, b"\x80\x04]\x94h\x09a.", b"0."]


@pytest.mark.parametrize("content", DAMAGED)
def test_damaged_pickles_are_refused(content):
    with pytest.raises(ValueError):
        read_plain_pickle(content)


def test_program_in_a_checkpoint_is_dropped(tmp_path):
    """mmengine's Runner.resume runs meta['config']."""
    torch.save(dict(meta=dict(config="open('ran', 'w')", epoch=1), state_dict={}), tmp_path / "a.pth")
    assert load_checkpoint_file(str(tmp_path / "a.pth"))["meta"] == dict(epoch=1)
