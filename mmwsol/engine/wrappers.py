"""Model wrapper for distributed runs on the CPU."""

from __future__ import annotations

from typing import Any

from mmengine.model import MMDistributedDataParallel
from torch import nn

from mmwsol.registry import MODEL_WRAPPERS


@MODEL_WRAPPERS.register_module()
class CPUDistributedDataParallel(MMDistributedDataParallel):
    """Ignore the ``device_ids`` that mmengine's Runner always passes to the wrapper of the model.

    ``tools/train.py`` and ``tools/test.py`` choose it by themselves where there is no GPU.

    Args:
        module: Model on the CPU.
        device_ids: Ignored.
        **kwargs: As for :class:`mmengine.model.MMDistributedDataParallel`.
    """

    def __init__(self, module: nn.Module, device_ids: Any = None, **kwargs: Any) -> None:
        super().__init__(module=module, device_ids=None, **kwargs)
