"""The vision transformer of TRT: tokens are scored between its last two blocks (Su et al., BMVC 2022)."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from mmengine.model.weight_init import trunc_normal_
from mmpretrain.models.backbones.vision_transformer import TransformerEncoderLayer
from torch import Tensor, nn

from mmwsol.methods.trt.token_scoring import TokenPriorityScoring, run_block
from mmwsol.models.backbones.tap_vit import TapViT
from mmwsol.models.features import Features, add_fix
from mmwsol.registry import MODELS

TRAIN_PARTS = ("tpsm", "cam", "joint")
add_fix("cls_token", "TRTViT skips it while its train_part='cam' is trained")
add_fix(
    "attn_map",
    "set backbone.type='mmwsol.TRTViT'; while its train_part='cam' is trained it skips the re-attention: call eval()",
)
add_fix("cam_map", "set backbone.type='mmwsol.TRTViT' with a CAM branch; train_part='tpsm' has none")


class CAMBranch(nn.Module):
    """The block and norm whose patch tokens TRT's class maps are made of.

    Args:
        block: Block on all tokens; None leaves it out.
        norm: Norm after it.
    """

    def __init__(self, block: TransformerEncoderLayer | None, norm: nn.Module) -> None:
        super().__init__()
        self.block = block
        self.norm = norm

    def forward(self, tokens: Tensor) -> Tensor:
        """Turn tokens (B, 1 + N, D) into patch tokens (B, N, D)."""
        if self.block is not None:
            tokens = run_block(self.block, tokens)
        return self.norm(tokens[:, 1:])


@MODELS.register_module()
class TRTViT(TapViT):
    """:class:`TapViT` with TRT's token priority scoring (TPSM) before its last block, and a CAM branch beside it.

    With z_l the tokens after l of L blocks: TPSM selects and scores the patch tokens of z_{L-1} by the class-token
    attention of blocks 1 to L-1; their sum, weighted by importance, and the class token of z_{L-1} are the only two
    tokens of block L, ``last_block``. The CAM branch is one more block on z_{L-2}.

    The blocks of TPSM and the CAM branch start as copies of block L, their norms of the final norm, when weights of a
    plain transformer are loaded: ImageNet's, or those of an earlier stage. Without, they keep PyTorch's initialization.

    Args:
        arch: As in :class:`TapViT`, the last block included. Defaults to 'deit-base'.
        tpsm: Options of :class:`mmwsol.methods.trt.TokenPriorityScoring`, such as
            ``dict(u=0.6)``. Defaults to None: its defaults.
        cam_layer: Tokens that the CAM branch reads: -1 for z_{L-1} (paper), -2 for z_{L-2} (official code), and
            so on. Defaults to -2.
        cam_block: Whether the CAM branch has a block of its own (official code) or only a norm (the paper names
            neither). Defaults to True.
        train_part: 'tpsm' trains all but the CAM branch and does not run it; 'cam' trains the CAM branch alone,
            everything else being in evaluation mode; 'joint' trains all (Eq. 2). :class:`TRTHead` sets it to its own.
            Defaults to 'joint'.
        with_cam: Whether to hold the CAM branch. True with ``train_part='tpsm'`` carries it, frozen,
            to the next stage, for models without ImageNet weights. Defaults to None: unless ``train_part='tpsm'``.
        tap_layers: Blocks whose attention is summed, 0-based, negative from the end; not the
            last one. Defaults to None: all the others.
        **kwargs: Further arguments of :class:`TapViT`, among them ``drop_path_rate``, which the additional blocks have
            in full.

    Raises:
        ValueError: If an option is unknown, a layer does not exist, or ``train_part`` needs the CAM branch that
            ``with_cam=False`` leaves out.
    """

    def __init__(
        self,
        arch: str | dict = "deit-base",
        tpsm: dict | None = None,
        cam_layer: int = -2,
        cam_block: bool = True,
        train_part: str = "joint",
        with_cam: bool | None = None,
        tap_layers: Sequence[int] | None = None,
        **kwargs,
    ) -> None:
        check_train_part(train_part)
        with_cam = train_part != "tpsm" if with_cam is None else with_cam
        if not with_cam and train_part != "tpsm":
            raise ValueError(f"train_part={train_part!r} trains the CAM branch: remove with_cam=False.")
        # While the CAM branch alone is trained, no loss reads attention, and TPSM does not run.
        super().__init__(arch, "cls", tap_layers, tap_in_train=train_part != "cam", **kwargs)
        depth = self.num_layers
        if depth < 2:
            raise ValueError(f"TRT needs at least 2 blocks, got {depth}.")
        if tap_layers is not None and depth - 1 in self.tap_layers:
            raise ValueError(f"tap_layers has the last block ({depth - 1}), which is run after the scoring.")
        if not -depth <= cam_layer <= -1:
            raise ValueError(f"cam_layer must be -1 (before the last block) to {-depth} (before all), got {cam_layer}.")
        self.train_part = train_part
        # TapViT's forward then ends before the last block and the final norm.
        self.last_block: TransformerEncoderLayer = self.layers[-1]
        del self.layers[-1]
        self.final_norm = False

        self.tpsm = TokenPriorityScoring(copy.deepcopy(self.last_block), copy.deepcopy(self.ln1), **(tpsm or {}))
        self.cam: CAMBranch | None = None
        if with_cam:
            self.cam = CAMBranch(copy.deepcopy(self.last_block) if cam_block else None, copy.deepcopy(self.ln1))
            self.out_tokens = (depth + cam_layer,)
        self._register_load_state_dict_pre_hook(self.adapt_weights)

    def draw_weights(self) -> None:
        """Initialize like DeiT, the last block too; TPSM and CAM branch keep PyTorch's initialization."""
        super().draw_weights()
        for module in self.last_block.modules():
            if isinstance(module, nn.Linear):
                trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def adapt_weights(self, weights: dict[str, Tensor], prefix: str, *_) -> None:
        """Bring the weights of a plain transformer into this one's form, in place; runs whenever weights are loaded.

        Args:
            weights: Weights to be loaded. The last of ``layers`` becomes ``last_block``. If there
                is no ``tpsm``, TPSM and the CAM branch get copies of it and of the final norm.
            prefix: What the names of this module's weights begin with.
        """
        last = f"{prefix}layers.{len(self.layers)}."
        for name in [name for name in weights if name.startswith(last)]:
            weights[name.replace(last, f"{prefix}last_block.")] = weights.pop(name)
        if any(name.startswith(f"{prefix}tpsm.") for name in weights):
            return
        parameters = self.state_dict().keys()
        for source, part in (("last_block.", "block."), ("ln1.", "norm.")):
            for name in [name for name in weights if name.startswith(prefix + source)]:
                rest = name.removeprefix(prefix + source)
                for branch in ("tpsm.", "cam."):
                    if f"{branch}{part}{rest}" in parameters:
                        weights[f"{prefix}{branch}{part}{rest}"] = weights[name]

    def forward(self, x: Tensor) -> Features:
        """Compute features of images (B, 3, H, W); H and W must be multiples of the patch size."""
        feats = super().forward(x)
        patch_map, cls = feats.need("patch_map"), feats.need("cls_token")  # of z_{L-1}
        grid = patch_map.shape[2:]
        cls_token = attn_map = cam_map = None
        if feats.cls_attn is not None:
            patches = patch_map.flatten(2).transpose(1, 2)  # (B, N, D)
            scored = self.tpsm(patches, feats.cls_attn)
            fused = (scored.weights[..., None] * patches).sum(dim=1).to(patches.dtype)
            pair = run_block(self.last_block, torch.stack([cls, fused], dim=1))
            cls_token = self.ln1(pair[:, 0])
            attn_map = scored.re_attention.unflatten(1, grid)[:, None]
        if self.cam is not None and self.train_part != "tpsm":
            cam_map = self.cam(feats.tokens[0]).transpose(1, 2).unflatten(2, grid)
        return Features(cls_token=cls_token, attn_map=attn_map, cam_map=cam_map)


def check_train_part(train_part: str) -> None:
    """Raise ``ValueError`` if there is no such part to train."""
    if train_part not in TRAIN_PARTS:
        raise ValueError(f"train_part must be one of {TRAIN_PARTS}, got {train_part!r}.")
