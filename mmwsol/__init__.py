"""mmwsol: weakly supervised object localization for the OpenMMLab 2.x stack."""

__version__ = "0.1.0"

__all__ = ["__version__"]
