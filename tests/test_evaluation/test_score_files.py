"""Class scores: which column is which class."""

from __future__ import annotations

import numpy as np
import pytest

from mmwsol.evaluation.score_files import read_scores

CLASSES = ("cat", "dog")
EXPECTED = {"a.jpg": [0.75, 0.25], "b.jpg": [0.5, 0.125]}


def read(tmp_path, text, classes=CLASSES):
    (tmp_path / "s.csv").write_text(text)
    found = read_scores(tmp_path / "s.csv", list(EXPECTED), classes)
    return {name: scores.tolist() for name, scores in found.items()}


@pytest.mark.parametrize(
    "text",
    [
        "id,cat,dog\na,.75,.25\nb,.5,.125\n",
        "id,dog,cat\na,.25,.75\nb,.125,.5\n",
        "id,Dog ,CAT\na,.25,.75\nb,.125,.5\n",
        "id;dog;cat\na.jpg;0,25;0,75\nb.jpg;0,125;0,5\n",
        "sep=;\nid;cat;dog\na.jpg;0.75;0.25\nb.jpg;0.5;0.125\n",
        "image\tcat\tdog\na.jpg\t0.75\t0.25\nb.jpg\t0.5\t0.125\n",
        "id,score,score\na,.75,.25\nb,.5,.125\n",
        "id,score_1,score_0\na,.25,.75\nb,.125,.5\n",
        "id,1,0\na,.25,.75\nb,.125,.5\n",
        ",1,0\na,.25,.75\nb,.125,.5\n",
        "a,.75,.25\nb,.5,.125\n",
    ],
)
def test_a_header_says_which_column_is_which(tmp_path, text):
    assert read(tmp_path, text) == EXPECTED


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,pred,cat,dog\na,1,.75,.25\nb,0,.5,.125\n", "s.csv:1': 'pred' is no class"),
        ("id,cat\na,.75\nb,.5\n", "no column is class 'dog'"),
        ("id,cat,owl\na,.75,.25\nb,.5,.125\n", "'owl' is no class and no column is class 'dog'"),
        ("id,p_dog,p_cat\na,.25,.75\nb,.125,.5\n", "'p_dog' is no class.*or remove the header"),
        ("id,cat,cat,dog\na,1,.75,.25\nb,0,.5,.125\n", "a class has several columns"),
        ("a,1,.75,.25\nb,0,.5,.125\n", "3 scores an image, the ground truth has 2 classes"),
        ("a,1\nb,0\n", "1 scores an image, the ground truth has 2 classes"),
        ("id,dog,cat\na,.25\nb,.125,.5\n", "s.csv:2': image 'a' needs 2 numbers"),
        ("a,.75,.25\nb,.5,x\n", "s.csv:2': image 'b' needs numbers, found '.5,x'"),
    ],
)
def test_scores_of_other_classes(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, text)


def test_lists_without_names(tmp_path):
    """The classes '0', '1' of a list without names are those that its images have; there may be more."""
    assert read(tmp_path, "a,.75,.25\nb,.5,.125\n", ("0",)) == EXPECTED
    assert read(tmp_path, "id,1,0\na,.25,.75\nb,.125,.5\n", ("0",)) == EXPECTED
    with pytest.raises(ValueError, match="2 scores an image, the ground truth has 3 classes"):
        read(tmp_path, "a,.75,.25\nb,.5,.125\n", ("0", "1", "2"))
    with pytest.raises(ValueError, match="'dog' is no class"):
        read(tmp_path, "id,dog,cat\na,.25,.75\nb,.125,.5\n", ("0", "1"))


def test_number_of_scores_in_arrays(tmp_path):
    np.savez(tmp_path / "s.npz", ids=["a", "b"], scores=np.ones((2, 3)))
    with pytest.raises(ValueError, match="3 scores an image, the ground truth has 2 classes"):
        read_scores(tmp_path / "s.npz", list(EXPECTED), CLASSES)
