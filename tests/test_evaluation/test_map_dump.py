"""Files of a dump: names that collide are refused before anything is written."""

import pytest

from mmwsol.evaluation.map_dump import check_file_names, read_frame


def test_ids():
    check_file_names(["a/1.jpg", "b/1.jpg", "a/2.jpg", "a/1.jpg"])  # a sampler may repeat an image
    with pytest.raises(ValueError, match="images 'a/1.jpg' and 'a/1.png' have one file"):
        check_file_names(["a/1.jpg", "b/1.jpg", "a/1.png"])
    with pytest.raises(ValueError, match="'a,b.jpg' has a comma"):
        check_file_names(["a,b.jpg"])


@pytest.mark.parametrize("frame", ["40000,40000", "1000000000,1", "8192,8193", "0,224", "224,-1"])
def test_frames_that_no_network_has_are_refused(tmp_path, frame):
    (tmp_path / "frame.txt").write_text(frame + "\n")
    with pytest.raises(ValueError, match=r"frame.txt' has the frame .* \(height, width\): sides are 1 to 8192 pixels"):
        read_frame(tmp_path)
    (tmp_path / "frame.txt").write_text("8192,1\n")
    assert read_frame(tmp_path) == (8192, 1)
