"""mmwsol: weakly supervised object localization for the OpenMMLab 2.x stack."""

from mmwsol.compat import ignore_mmcv_lite_warning

__version__ = "0.1.0"

__all__ = ["__version__"]

ignore_mmcv_lite_warning()  # before anything imports mmcv
