"""Files of a dump: names that collide are refused before anything is written."""

import pytest

from mmwsol.evaluation.map_dump import check_file_names


def test_ids():
    check_file_names(["a/1.jpg", "b/1.jpg", "a/2.jpg", "a/1.jpg"])  # a sampler may repeat an image
    with pytest.raises(ValueError, match="images 'a/1.jpg' and 'a/1.png' have one file"):
        check_file_names(["a/1.jpg", "b/1.jpg", "a/1.png"])
    with pytest.raises(ValueError, match="'a,b.jpg' has a comma"):
        check_file_names(["a,b.jpg"])
