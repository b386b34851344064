"""Order of initialization: first all that is drawn, then the weights of a file."""

from __future__ import annotations

from typing import Any

from mmengine.model import BaseModule, PretrainedInit, initialize
from torch import nn

# Libraries whose models are initialized, or have loaded their weights, when they are built.
FOREIGN = ("open_clip", "timm", "torchvision", "transformers")


class PretrainedLast(BaseModule):
    """A module that loads an ``init_cfg`` of type 'Pretrained' after everything else is initialized.

    mmengine loads it in the middle of ``init_weights``: what a subclass draws afterwards would overwrite the file's
    weights, and what it draws only without a file would leave parameters that the file does not have at zero.
    Subclasses draw in :meth:`draw_weights`, wherever the weights come from.
    """

    init_cfg: Any

    def init_weights(self) -> None:
        """Initialize: children and other entries of ``init_cfg``, :meth:`draw_weights`, then the file's weights.

        Files of children that are no ``PretrainedLast`` (backbones of mmpretrain) are loaded last of all, by
        :meth:`load_child`: mmengine would pass over names that do not fit without an error.
        """
        if self.is_init:
            super().init_weights()  # says so
            return
        others = [c for c in self.children() if isinstance(c, BaseModule) and not isinstance(c, PretrainedLast)]
        parts: list[Any] = [self, *(child for child in others if not child.is_init)]
        configs = [part.init_cfg for part in parts]
        for part in parts:
            part.init_cfg = split_pretrained(part.init_cfg)[0] or None
        keep_foreign_weights(self)
        super().init_weights()
        self.draw_weights()
        for part, config in zip(parts, configs, strict=True):
            part.init_cfg = config
            for entry in split_pretrained(config)[1]:
                if part is self:
                    self.load_weights(entry)
                else:
                    self.load_child(part, entry)

    def draw_weights(self) -> None:
        """Draw the weights that the module has beside those of its children. Nothing by default."""

    def load_weights(self, init_cfg: dict[str, Any]) -> None:
        """Load an entry of type 'Pretrained'. By default as mmengine does."""
        initialize(self, init_cfg)

    def load_child(self, child: nn.Module, init_cfg: dict[str, Any]) -> None:
        """Load an entry of type 'Pretrained' of a child. By default as mmengine does."""
        initialize(child, init_cfg)


def split_pretrained(init_cfg: Any) -> tuple[list[dict], list[dict]]:
    """Split an ``init_cfg``, which is a dict, a list of them or None, into what is drawn and files to load."""
    entries = [init_cfg] if isinstance(init_cfg, dict) else list(init_cfg or [])
    files = [entry for entry in entries if entry["type"] in ("Pretrained", PretrainedInit)]
    return [entry for entry in entries if entry not in files], files


def keep_foreign_weights(model: nn.Module) -> None:
    """Keep mmengine from initializing modules of other libraries again.

    Its ``init_weights`` calls methods of that name in all children: timm's models have one, which draws all weights
    anew, also where they were loaded.
    """
    for module in model.modules():
        if type(module).__module__.split(".")[0] in FOREIGN:
            setattr(module, "is_init", True)  # noqa: B010  (what mmengine asks for; nn.Module declares no such name)
