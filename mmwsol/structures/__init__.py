"""Data structures that travel between data sets, models and metrics."""

from .frame import Frame
from .loc_data_sample import LocDataSample

__all__ = ["Frame", "LocDataSample"]
