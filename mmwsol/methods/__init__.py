"""One folder a method: whatever exists because of one paper. A new method is one line here."""

from . import cam, catr, cdtr, dips, lctr, locloc, sat, trt, ts_cam

__all__ = ["cam", "catr", "cdtr", "dips", "lctr", "locloc", "sat", "trt", "ts_cam"]
