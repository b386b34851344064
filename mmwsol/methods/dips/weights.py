"""The official releases that DiPS uses. They are parts of a model that nothing identifies: name them by ``--source``.

* ``dips-decoder``: shakeebmurtaza/dips, the decoder of the extended model, without the convolution that is never
  called; becomes ``head.decoder``.
* ``dips-linear``: the linear classifier of facebookresearch/dino; becomes ``head.fc``.
"""

from __future__ import annotations

import re

from mmwsol.models.weights import Release, register_release


def _rename_decoder(name: str) -> str | None:
    if name in ("head.weight", "head.bias"):  # never called
        return ""
    match = re.match(r"decoder([1-4])\.(conv[12]\.[01]\..+)", name)
    return f"head.decoder.{int(match[1]) - 1}.{match[2]}" if match else None


def _rename_linear(name: str) -> str | None:
    return f"head.fc.{name.removeprefix('linear.')}" if name in ("linear.weight", "linear.bias") else None


register_release(Release("dips-decoder", _rename_decoder, recognize=None))
register_release(Release("dips-linear", _rename_linear, recognize=None))
