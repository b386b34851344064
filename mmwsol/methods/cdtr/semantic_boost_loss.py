"""Semantic Boost Adapter: CLIP judges a localization map (CDTR, TPAMI 2025)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mmwsol.methods.cdtr.clip_encoders import OPENAI_VIT_B_32, FrozenEncoder
from mmwsol.methods.cdtr.text_embeddings import load_text_embeddings
from mmwsol.models.heads.base import Batch, MapLoss
from mmwsol.registry import MODELS

MAP_NORMS = ("none", "minmax")
PROMPT_INDICES = ("label", "position")
MASK_SPACES = ("normalized", "pixel")
RESIZES = (None, "bilinear", "bicubic")
SOURCES = ("label", "foreground")
_TOOL = "python tools/make_clip_text_embeddings.py"


@MODELS.register_module()
class SemanticBoostLoss(MapLoss):
    """The image inside the map should match the text of its class better than the image outside.

    ``-log(s_f / (s_f + s_b))`` with the cosines of the class's text and the image times the map R (foreground), or
    times 1 - R (background), in CLIP's feature space. It has no parameters and serves any head that makes a map with
    gradient; the default options are those of the official CDTR code, except ``prompt_index``.

    CLIP and text embeddings are loaded at the first use in training, so that a trained model is tested without them.
    CLIP is outside the module tree: not in checkpoints, the optimizer or distributed training. Gradients pass through
    its image tower to the map.

    The map as it is (``map_norm='none'``) is made for maps of CDTR's size: attention that averages 6 / 197 = 0.03 at
    the start, times a class map. Much smaller ones give CLIP the mean color and the whole image, whatever they show: a
    head whose map has another size takes ``map_scale`` (:class:`mmwsol.models.LocHead`).

    ``mask_space='pixel'`` and ``clip_norm`` need the network's mean and standard deviation, which the localizer gives
    (:meth:`set_normalization`). CLIP gets RGB, also where the network takes BGR.

    Args:
        text_embeddings: File of ``tools/make_clip_text_embeddings.py``, or embeddings (C, E). Needed.
        clip: Image encoder. Defaults to None: OpenAI's ViT-B/32 by ``mmwsol.TimmCLIP``.
        source: Map that masks the image: 'label', that of its class, whose class map gets no gradient (official
            code), or 'foreground', the attention alone (paper). Defaults to 'label'.
        map_norm: 'none' (CUB): the map as it is, which may leave [0, 1]. 'minmax' (ILSVRC): per image, with
            gradient. Defaults to 'none'.
        prompt_index: 'label': text of the image's class. 'position': text of the class whose index is the image's
            position in the batch, which the official code does; it needs a batch of at most C images. Defaults to
            'label'.
        mask_space: What is multiplied by the map: the 'normalized' network input, where 0 is the mean color, or
            'pixel' values, where 0 is black. Defaults to 'normalized'.
        clip_norm: Whether images are normalized anew with CLIP's mean and std. Defaults to False: they keep the
            network's.
        resize: 'bilinear' or 'bicubic' resize of the masked images to CLIP's size. Defaults to None:
            network and CLIP have the same input size.
        clamp: Limits of the cosines; None: none, as in the paper. Defaults to
            (1e-4, 0.9999), as in the official code.
        eps: Added to ``s_f + s_b``, the paper's xi. Defaults to 0: none in the official code.
        loss_weight: alpha. Defaults to 2.4 (CUB; ILSVRC 0.01).

    Raises:
        ValueError: If ``text_embeddings`` is missing or an option is unknown.
    """

    mean: Tensor | None
    std: Tensor | None

    def __init__(
        self,
        text_embeddings: str | Tensor | None = None,
        clip: dict | None = None,
        source: str = "label",
        map_norm: str = "none",
        prompt_index: str = "label",
        mask_space: str = "normalized",
        clip_norm: bool = False,
        resize: str | None = None,
        clamp: tuple[float, float] | None = (1e-4, 0.9999),
        eps: float = 0.0,
        loss_weight: float = 2.4,
    ) -> None:
        super().__init__()
        options = dict(
            map_norm=MAP_NORMS, prompt_index=PROMPT_INDICES, mask_space=MASK_SPACES, resize=RESIZES, source=SOURCES
        )
        given = dict(map_norm=map_norm, prompt_index=prompt_index, mask_space=mask_space, resize=resize, source=source)
        for name, allowed in options.items():
            if given[name] not in allowed:
                raise ValueError(f"{name} must be one of {allowed}, got {given[name]!r}.")
        if text_embeddings is None:
            raise ValueError(f"SemanticBoostLoss needs text_embeddings, a file that {_TOOL} writes.")
        if source == "foreground" and map_norm == "none":
            raise ValueError(
                "source='foreground' without normalization gives CLIP a black image (attention is near 0.03): set "
                "map_norm='minmax'."
            )
        self.source = source
        self.text_embeddings = text_embeddings
        self.clip = clip or dict(type="mmwsol.TimmCLIP", checkpoint=OPENAI_VIT_B_32)
        self.map_norm = map_norm
        self.prompt_index = prompt_index
        self.mask_space = mask_space
        self.clip_norm = clip_norm
        self.resize = resize
        self.clamp = clamp
        self.eps = eps
        self.register_buffer("mean", None, persistent=False)  # (3, 1, 1) of the network, in 0-1
        self.register_buffer("std", None, persistent=False)
        self.to_rgb = True
        self.loss_weight = loss_weight
        self.text: Tensor | None = None  # (C, E), of length 1
        self.classes: tuple[str, ...] | None = None
        self.text_fingerprint: str | None = None
        self.encoder: FrozenEncoder | None = None

    def load(self) -> FrozenEncoder:
        """Load text embeddings and CLIP, once, and return CLIP.

        Raises:
            FileNotFoundError: If a file is missing; the message says how to get it.
            ValueError: If embeddings, classes and CLIP do not fit each other.
        """
        if self.encoder is not None:
            return self.encoder
        text = self._load_text()
        encoder = FrozenEncoder(MODELS.build(self.clip))
        if encoder.embed_dim != text.shape[1]:
            raise ValueError(
                f"text_embeddings have {text.shape[1]} dimensions and {self.clip['type']} {encoder.embed_dim}: "
                f"make them with the text tower of the same CLIP ({_TOOL})."
            )
        if None not in (self.text_fingerprint, encoder.fingerprint) and self.text_fingerprint != encoder.fingerprint:
            raise ValueError(
                f"'{self.text_embeddings}' was made with another CLIP than the image tower of {self.clip['type']}, "
                f"their features cannot be compared: make it with the same weights ({_TOOL})."
            )
        self.encoder = encoder
        return encoder

    def set_normalization(self, mean: Tensor, std: Tensor, to_rgb: bool = True) -> None:
        """Take the network's mean and standard deviation (3,) in 0-255, and whether its channels are RGB, not BGR."""
        self.to_rgb = to_rgb
        self.mean, self.std = (value.reshape(-1, 1, 1) / 255 for value in (mean, std))

    def _normalization(self, option: str) -> tuple[Tensor, Tensor]:
        if self.mean is None or self.std is None:
            raise ValueError(
                f"{option} needs the network's mean and standard deviation: use the loss in an ImageLocalizer, which "
                "gives those of its data_preprocessor, or call set_normalization(mean, std)."
            )
        return self.mean, self.std

    def check_classes(self, classes: Sequence[str]) -> None:
        """Compare the names in the file of text embeddings with the data set's.

        Raises:
            ValueError: If they differ in number or order.
        """
        self._load_text()
        if self.classes is None or self.classes == tuple(classes):
            return
        fix = f"Make embeddings for this data set: {_TOOL}."
        if len(self.classes) != len(classes):
            raise ValueError(
                f"'{self.text_embeddings}' has {len(self.classes)} classes, the data set {len(classes)}. {fix}"
            )
        pairs = zip(self.classes, classes, strict=True)
        index, (ours, theirs) = next((i, pair) for i, pair in enumerate(pairs) if pair[0] != pair[1])
        raise ValueError(f"class {index} is '{ours}' in '{self.text_embeddings}' and '{theirs}' in the data set. {fix}")

    def _load_text(self) -> Tensor:
        if self.text is not None:
            return self.text
        if isinstance(self.text_embeddings, Tensor):
            text, classes = self.text_embeddings, None
        else:
            text, classes, self.text_fingerprint = load_text_embeddings(self.text_embeddings)
        if self.num_classes not in (None, len(text)):
            raise ValueError(
                f"text_embeddings are of {len(text)} classes, the head has num_classes={self.num_classes}: make "
                f"embeddings for this data set with {_TOOL}."
            )
        self.text, self.classes = F.normalize(text, dim=1), classes
        return self.text

    def forward(self, maps: Tensor, batch: Batch) -> Tensor:  # type: ignore[override]
        """Compute the loss of raw maps (B, h, w) with gradient.

        Raises:
            ValueError: If the batch has no ``inputs``, the grid does not have the proportions of the image, or the
                image does not have CLIP's size.
        """
        if batch.inputs is None:
            raise ValueError("SemanticBoostLoss masks the network's input: give the head inputs=.")
        foreground, background = self.similarities(batch.inputs, maps[:, None], batch.labels)
        if self.clamp is not None:
            foreground, background = foreground.clamp(*self.clamp), background.clamp(*self.clamp)
        return -self.loss_weight * (foreground / (foreground + background + self.eps)).log().mean()

    def similarities(self, inputs: Tensor, maps: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the cosines (B,) of the texts and the foreground, and of the texts and the background."""
        texts = self._texts(labels, len(inputs))
        features = self.encode(self.masked_images(inputs, maps))
        if features.dtype in (torch.float16, torch.bfloat16):  # too coarse for cosines
            features = features.float()
        features = F.normalize(features, dim=1)
        foreground, background = (features.unflatten(0, (2, -1)) * texts.to(features)).sum(dim=2)
        return foreground, background

    def _texts(self, labels: Tensor, batch: int) -> Tensor:
        self.text = self._load_text().to(labels.device)
        if self.prompt_index == "label":
            return self.text[labels]
        if batch > len(self.text):
            raise ValueError(
                f"prompt_index='position' needs at most {len(self.text)} images a batch, the number of classes, got "
                f"{batch}. Take smaller batches or prompt_index='label'."
            )
        return self.text[:batch]

    def normalize_map(self, maps: Tensor) -> Tensor:
        """Normalize maps (B, 1, h, w) as ``map_norm`` says."""
        if self.map_norm == "none":
            return maps
        low = maps.amin(dim=(2, 3), keepdim=True)
        return (maps - low) / (maps.amax(dim=(2, 3), keepdim=True) - low + 1e-15)

    def masked_images(self, inputs: Tensor, maps: Tensor) -> Tensor:
        """Multiply images by the map and by its complement: (2 B, 3, H, W), foreground first."""
        height, width = inputs.shape[2:]
        if height * maps.shape[3] != width * maps.shape[2]:
            raise ValueError(
                f"a map of {maps.shape[3]}x{maps.shape[2]} cells does not have the proportions of its image, "
                f"{width}x{height} (W x H): maps must cover the whole network input."
            )
        mask = F.interpolate(self.normalize_map(maps), (height, width), mode="bilinear", align_corners=True)
        mask = torch.cat([mask, 1 - mask])
        images = inputs.repeat(2, 1, 1, 1)
        if self.mask_space == "normalized":
            return images * mask
        # The product in pixel values, in the network's normalization again.
        mean, std = self._normalization("mask_space='pixel'")
        return (images + mean / std) * mask - mean / std

    def encode(self, images: Tensor) -> Tensor:
        """Compute CLIP's features (n, E), not normalized, of images (n, 3, H, W) normalized for the network."""
        encoder = self.load()
        side = encoder.input_size
        if tuple(images.shape[2:]) != (side, side):
            if self.resize is None:
                raise ValueError(
                    f"images are {images.shape[3]}x{images.shape[2]} (W x H), CLIP takes {side}x{side}: set "
                    "resize='bicubic' in loss_sba, or change the size in the pipelines."
                )
            images = F.interpolate(images, (side, side), mode=self.resize, align_corners=False)
        if self.clip_norm:
            mean, std = self._normalization("clip_norm=True")
            images = images * std + mean
        if not self.to_rgb:
            images = images.flip(1)
        if self.clip_norm:
            clip_mean, clip_std = (images.new_tensor(v)[:, None, None] for v in (encoder.mean, encoder.std))
            images = (images - clip_mean) / clip_std
        return encoder(images)
