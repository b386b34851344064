"""timm's vision transformers under every localization head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmwsol.models.backbones.tapping import Tapping, tapped_fields
from mmwsol.models.features import Features
from mmwsol.models.layers.attention import attention_weights
from mmwsol.models.timm_files import forget_timm_files, read_timm_files
from mmwsol.models.wrapped_networks import pixel_statistics
from mmwsol.registry import MODELS

QUERIES = ("cls", "mean", "pool")


@MODELS.register_module()
class TimmViT(Tapping, BaseModule):
    """A plain vision transformer of timm (DeiT, CLIP, DINOv2, SigLIP, EVA-02, ...) with the output of :class:`TapViT`.

    timm's own code computes the features, its fused attention included. The attention rows that a head reads are
    computed beside it, from the query and key layers of the block, with its q/k norms and rotary embeddings: about a
    tenth more time, in evaluation only. Nothing in timm is hooked or patched.

    Supported are timm's classes ``VisionTransformer``, ``VisionTransformerDistilled`` and ``Eva`` with standard or
    rotary attention; others (Swin, BEiT's relative positions, differential attention, ...) are refused. Any input size
    that the patch size divides works: timm resizes position embeddings, in the forward pass and when it loads weights.

    Register and distillation tokens take part in the attention and are left out of all that is returned, so that rows
    need not sum to one. A model that pools before its last norm (EVA-02) gets that norm on every token.

    Args:
        model_name: Name in ``timm.list_models()``, such as 'vit_small_patch14_dinov2.lvd142m'.
        pretrained: Whether timm loads its pretrained weights (Hugging Face hub). For a file on disk add
            ``pretrained_cfg_overlay=dict(file=PATH)``; every form of :func:`mmwsol.compat.load_checkpoint_file` does.
            Defaults to False: random weights.
        img_size: Size of the position embeddings. Defaults to None: the model's own.
        query: Whose attention is ``cls_attn``, and what is ``cls_token``:

            - 'cls': the class token;
            - 'mean': the mean of the patches' queries, in every block; the mean patch token;
            - 'pool': the query of the attention pool behind the last block (SigLIP), one "block" L = 1; its output.

            Defaults to None: 'cls' if the model has a class token, else 'pool' if it has such a pool, else 'mean'.
        tap: Attention to return: 'none', 'cls' (rows of ``query``) or 'full' (whole matrices, with a class token
            only). Defaults to 'cls'.
        tap_layers: Blocks to tap, 0-based, negative from the end. Defaults to None: all.
        tap_in_train: Whether to tap in training mode too. Defaults to False.
        out_tokens: Depths at which to return tokens: 0 before the first block, l after l blocks,
            negative from the end. Without a class token the mean patch token stands first. Defaults to ().
        **kwargs: Arguments of ``timm.create_model``, among them ``drop_path_rate``.

    Raises:
        ValueError: If timm does not know the model, its class or attention is not supported, or an option does not fit.

    Attributes:
        pixel_mean: (3,) RGB mean in 0-255 of the images that the network was trained on.
        pixel_std: (3,) standard deviation, likewise.
    """

    def __init__(
        self,
        model_name: str,
        pretrained: bool = False,
        img_size: int | tuple[int, int] | None = None,
        query: str | None = None,
        tap: str = "cls",
        tap_layers: Sequence[int] | None = None,
        tap_in_train: bool = False,
        out_tokens: Sequence[int] = (),
        **kwargs,
    ) -> None:
        super().__init__()
        if kwargs.get("patch_drop_rate"):
            raise ValueError("patch_drop_rate drops patches, and a map needs them all: leave it at 0.")
        if img_size is not None:
            kwargs["img_size"] = img_size
        if kwargs.get("init_cfg"):
            raise ValueError(
                "TimmViT has no init_cfg: timm loads its weights. Set pretrained=True and, for a file on disk, "
                "pretrained_cfg_overlay=dict(file=PATH), or give model.init_cfg."
            )
        self.model: Any = _create(model_name, pretrained, kwargs)
        self.embed_dims: int = self.model.embed_dim
        self.num_prefix_tokens: int = self.model.num_prefix_tokens
        self.query = self._choose_query(model_name, query)
        if tap == "full" and self.query != "cls":
            raise ValueError(f"tap='full' needs a class token; {model_name!r} runs with query={self.query!r}.")
        self._trim_head()
        self.pixel_mean, self.pixel_std = pixel_statistics(self.model)
        self._register_load_state_dict_pre_hook(self._fit_positions)
        self.set_taps(len(self.model.blocks), tap, tap_layers, tap_in_train, out_tokens)

    def _choose_query(self, model_name: str, query: str | None) -> str:
        """Check ``query`` against the model, or choose it."""
        from timm.layers import AttentionPoolLatent

        pool = getattr(self.model, "attn_pool", None)
        one_query = type(pool) is AttentionPoolLatent and pool.latent_len == 1 and pool.pos_embed is None
        has = dict(cls=self.model.cls_token is not None, mean=True, pool=one_query)
        if query is None:
            return "cls" if has["cls"] else "pool" if has["pool"] else "mean"
        if query not in QUERIES:
            raise ValueError(f"query must be one of {QUERIES}, got {query!r}.")
        if not has[query]:
            possible = ", ".join(repr(name) for name in QUERIES if has[name])
            raise ValueError(f"{model_name!r} has nothing for query={query!r}; possible are {possible}.")
        return query

    def _trim_head(self) -> None:
        """Drop what comes after the tokens and is not used."""
        if self.query != "pool" and getattr(self.model, "attn_pool", None) is not None:
            self.model.reset_classifier(0, "")
        if not isinstance(self.model.norm, nn.Identity):
            self.model.fc_norm = nn.Identity()

    def _fit_positions(self, weights: dict[str, Tensor], prefix: str, *_) -> None:
        """Resize position embeddings (1, T, D) that are about to be loaded to the network's image size."""
        from timm.layers import resample_abs_pos_embed

        name, own = f"{prefix}model.pos_embed", self.model.pos_embed
        if own is None or name not in weights or weights[name].shape == own.shape or weights[name].ndim != 3:
            return
        prefix_tokens = 0 if getattr(self.model, "no_embed_class", False) else self.num_prefix_tokens
        grid = list(self.model.patch_embed.grid_size)
        weights[name] = resample_abs_pos_embed(weights[name], grid, num_prefix_tokens=prefix_tokens)

    @property
    def img_size(self) -> tuple[int, int] | None:
        """(H, W) of the images that the position embeddings are made for."""
        return self.model.patch_embed.img_size

    @property
    def patch_size(self) -> tuple[int, int]:
        """(H, W) of a patch."""
        return self.model.patch_embed.feat_ratio(as_scalar=False)

    def init_weights(self) -> None:
        """Keep what timm has initialized or loaded; mmengine would call timm's ``init_weights`` again."""

    def forward(self, x: Tensor) -> Features:
        """Compute features of images (B, 3, H, W); H and W must be multiples of the patch size.

        Raises:
            ValueError: If the patch size does not divide the image.
        """
        size = (x.shape[2], x.shape[3])
        patch = self.patch_size
        if size[0] % patch[0] or size[1] % patch[1]:
            raise ValueError(
                f"Image size {size} is not a multiple of the patch size {patch}: resize the images in the pipeline."
            )
        grid = (size[0] // patch[0], size[1] // patch[1])
        x, rope = self._embed(x)
        tap = self.active_tap()
        weights = []
        kept = [self._split(x)] if 0 in self.out_tokens else []
        for i, block in enumerate(self.model.blocks):
            angles = rope[i] if rope is not None and getattr(self.model, "rope_mixed", False) else rope
            if tap != "none" and self.query != "pool" and i in self.tap_layers:
                weights.append(self._rows(block, x, angles, tap))
            x = block(x) if angles is None else block(x, rope=angles)
            if i + 1 in self.out_tokens:
                kept.append(self._split(x))
        x = self.model.fc_norm(self.model.norm(x))

        cls_token, patches = self._split(x)
        if self.query == "pool":
            pooled = x if getattr(self.model, "pool_include_prefix", True) else patches
            cls_token = self.model.attn_pool(pooled)
            if tap != "none":
                weights.append(_pool_row(self.model.attn_pool, pooled))
        fields = tapped_fields(weights, tap, slice(-grid[0] * grid[1], None), grid)
        tokens = tuple(torch.cat([first[:, None], rest], dim=1) for first, rest in kept)
        patch_map = patches.transpose(1, 2).unflatten(2, grid)
        return Features(patch_map, tokens=tokens, cls_token=cls_token, **fields)

    def _embed(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Make tokens (B, T, D) of images, and the rotary embedding if the model has one."""
        embedded = self.model._pos_embed(self.model.patch_embed(x))
        x, rope = embedded if isinstance(embedded, tuple) else (embedded, None)
        norm = getattr(self.model, "norm_pre", None)  # Eva has it in newer versions of timm
        return x if norm is None else norm(x), rope

    def _rows(self, block: Any, x: Tensor, rope: Tensor | None, tap: str) -> Tensor:
        """Compute attention weights of a block: (B, H, 1, T) of ``query``, or for 'full' (B, H, 1 + N, 1 + N)."""
        from timm.models import eva, vision_transformer

        if isinstance(block, (vision_transformer.Block, eva.EvaBlock)):  # the others norm behind the attention
            x = block.norm1(x)
        attn, prefix = block.attn, self.num_prefix_tokens
        key = _project(attn, "k", x, 0, rope)
        if tap == "full":
            weights = attention_weights(_project(attn, "q", x, 0, rope), key)
            keep = [0, *range(prefix, x.shape[1])]
            return weights[:, :, keep][:, :, :, keep]
        if self.query == "cls":
            query = _project(attn, "q", x[:, :1], 0, rope)
        else:
            query = _project(attn, "q", x[:, prefix:], prefix, rope).mean(dim=2, keepdim=True)
        return attention_weights(query, key)

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Split tokens (B, T, D) into the class token, or the mean patch token, (B, D), and patches (B, N, D)."""
        patches = x[:, self.num_prefix_tokens :]
        return (x[:, 0] if self.query == "cls" else patches.mean(dim=1)), patches


def _create(model_name: str, pretrained: bool, kwargs: dict) -> Any:
    """Build a model without classifier, and refuse one whose attention is not understood."""
    import timm
    from timm.models import deit, eva
    from timm.models import vision_transformer as vit

    if ":" not in model_name and not timm.is_model(model_name):
        raise ValueError(f"timm {timm.__version__} has no model {model_name!r}; timm.list_models('*vit*') lists names.")
    try:
        kwargs = read_timm_files(dict(kwargs, pretrained=pretrained))
        model: Any = timm.create_model(model_name, num_classes=0, dynamic_img_size=True, **kwargs)
        forget_timm_files(model)
    except TypeError as error:  # a class of another design, or a misspelt argument
        supported = "It supports timm's VisionTransformer, VisionTransformerDistilled and Eva."
        raise ValueError(f"TimmViT cannot build {model_name!r}: {error}. {supported}") from error

    _require(model, (vit.VisionTransformer, deit.VisionTransformerDistilled, eva.Eva), model_name)
    blocks = (vit.Block, vit.ResPostBlock, eva.EvaBlock, eva.EvaBlockPostNorm)
    rotary = getattr(eva, "AttentionRope", eva.EvaAttention)  # in newer versions of timm
    for block in model.blocks:
        _require(block, blocks, model_name)
        _require(block.attn, (vit.Attention, eva.EvaAttention, rotary), model_name)
    return model


def _require(part: nn.Module, supported: tuple[type, ...], model_name: str) -> None:
    """Refuse a part of another class; a subclass may compute something else."""
    if type(part) not in supported:
        names = ", ".join(cls.__name__ for cls in dict.fromkeys(supported))
        raise ValueError(f"TimmViT does not know {type(part).__name__} in {model_name!r}; it supports {names}.")


def _project(attn: Any, part: str, x: Tensor, start: int, rope: Tensor | None) -> Tensor:
    """Compute the queries ('q') or keys ('k') of an attention layer.

    Args:
        attn: timm's attention layer.
        part: 'q' or 'k'.
        x: Normalized tokens (B, R, D), a run of the layer's input.
        start: Position of the first of them.
        rope: Rotary embedding of all patches; the tokens before them are not rotated.

    Returns:
        (B, H, R, d).
    """
    if getattr(attn, "qkv", None) is not None:
        size = attn.qkv.out_features // 3
        rows = slice(0, size) if part == "q" else slice(size, 2 * size)
        # EvaAttention keeps the biases apart from the layer.
        bias = getattr(attn, f"{part}_bias", None) if attn.qkv.bias is None else attn.qkv.bias[rows]
        x = F.linear(x, attn.qkv.weight[rows], bias)
    else:
        x = getattr(attn, f"{part}_proj")(x)
    heads = attn.num_heads if part == "q" else getattr(attn, "num_kv_heads", attn.num_heads)
    x = getattr(attn, f"{part}_norm", nn.Identity())(x.unflatten(2, (heads, -1)).transpose(1, 2))
    if rope is not None:
        from timm.models.eva import apply_rot_embed_cat

        plain = max(attn.num_prefix_tokens - start, 0)
        half = dict(half=True) if getattr(attn, "rotate_half", False) else {}
        if x.shape[2] > plain:
            x = torch.cat([x[:, :, :plain], apply_rot_embed_cat(x[:, :, plain:], rope, **half)], dim=2)
    return x.repeat_interleave(attn.num_heads // heads, dim=1)  # grouped-query attention shares keys


def _pool_row(pool: Any, x: Tensor) -> Tensor:
    """Compute the attention (B, H, 1, N) of timm's ``AttentionPoolLatent`` to tokens (B, N, D)."""
    query = pool.q(pool.latent[:, :1].expand(len(x), -1, -1)).unflatten(2, (pool.num_heads, -1)).transpose(1, 2)
    size = pool.kv.out_features // 2
    bias = None if pool.kv.bias is None else pool.kv.bias[:size]
    key = F.linear(x, pool.kv.weight[:size], bias).unflatten(2, (pool.num_heads, -1)).transpose(1, 2)
    return attention_weights(pool.q_norm(query), pool.k_norm(key))
