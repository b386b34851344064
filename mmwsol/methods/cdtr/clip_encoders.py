"""Image towers of CLIP, for :class:`mmwsol.methods.cdtr.SemanticBoostLoss`.

A tower whose activation is not that of the weights computes wrong features without an error. OpenAI trained with
QuickGELU, most others with GELU, and only some files say which: :func:`load_clip_weights` reads it there, and a model's
name must be given for all other files.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmwsol.compat import load_checkpoint_file
from mmwsol.models.weights import find_checkpoint
from mmwsol.registry import MODELS

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
OPENAI_VIT_B_32 = (
    "https://openaipublic.azureedge.net/clip/models/"
    "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af/ViT-B-32.pt"
)
OPENAI_SIZES = ("input_resolution", "context_length", "vocab_size")  # stored as weights by OpenAI's archives alone
# Weight of the patches and position embeddings: OpenAI and open_clip, open_clip on a tower of timm, timm.
PATCH_NAMES = (
    ("visual.conv1.weight", "visual.positional_embedding"),
    ("visual.trunk.patch_embed.proj.weight", "visual.trunk.pos_embed"),
    ("patch_embed.proj.weight", "pos_embed"),
)


class ClipEncoder(nn.Module):
    """Base of encoders: modules that turn RGB images (n, 3, S, S) into features (n, E).

    Attributes:
        embed_dim: Dimensions E of the features.
        input_size: Side S of the images.
        mean: RGB mean of its training, in 0-1.
        std: RGB standard deviation of its training, in 0-1.
        fingerprint: :func:`fingerprint` of its weights. Defaults to None: not known.
    """

    embed_dim: int
    input_size: int
    mean: Sequence[float] = CLIP_MEAN
    std: Sequence[float] = CLIP_STD
    fingerprint: str | None = None


class FrozenEncoder:
    """Hold an encoder outside the module tree.

    A plain attribute of a module, it is in no ``state_dict``, optimizer, distributed wrapper or moving average, and
    ``train()`` does not reach it. It follows its input's device and precision.

    Args:
        encoder: The encoder, which is frozen. Its attributes are those of this class too.

    Raises:
        ValueError: If it is no :class:`ClipEncoder`.
    """

    def __init__(self, encoder: ClipEncoder) -> None:
        if not isinstance(encoder, ClipEncoder):
            raise ValueError(f"clip must be a ClipEncoder, such as mmwsol.TimmCLIP, got {type(encoder).__name__}.")
        self.encoder: nn.Module = encoder.eval().requires_grad_(False)
        self.embed_dim = encoder.embed_dim
        self.input_size = encoder.input_size
        self.mean = encoder.mean
        self.std = encoder.std
        self.fingerprint = encoder.fingerprint

    def __call__(self, images: Tensor) -> Tensor:
        """Compute features (n, E) of images (n, 3, S, S), with gradient to the images."""
        weight = next(self.encoder.parameters())
        if (weight.device, weight.dtype) != (images.device, images.dtype):
            self.encoder.to(images.device, images.dtype)
        return self.encoder(images)

    def __deepcopy__(self, memo: dict) -> FrozenEncoder:
        return self


@MODELS.register_module()
class TimmCLIP(ClipEncoder):
    """CLIP's image tower by timm.

    Args:
        checkpoint: File of weights: OpenAI's release (a TorchScript archive), or a state dict or safetensors file
            of OpenAI's, open_clip's or timm's names. A URL stands for the file of its name in
            ``$MMWSOL_CHECKPOINT_ROOT``: nothing is downloaded.
        model_name: Name in timm. Defaults to None: 'vit_base_patch32_clip_quickgelu_224', and a file
            that does not say that it is of QuickGELU (:func:`load_clip_weights`) is refused.
        feat_dim: Dimensions E of the features. Defaults to 512.
        input_size: Side S of the images. Defaults to 224.
        **kwargs: Further arguments of ``timm.create_model``.

    Raises:
        FileNotFoundError: If the file does not exist; the message says how to get it.
        ValueError: If it holds other weights: other names or shapes, another patch or image size (timm would resample
            them without a warning), another activation.
    """

    def __init__(
        self,
        checkpoint: str,
        model_name: str | None = None,
        feat_dim: int = 512,
        input_size: int = 224,
        **kwargs,
    ) -> None:
        super().__init__()
        import timm
        from timm.models.vision_transformer import checkpoint_filter_fn

        self.embed_dim = feat_dim
        self.input_size = input_size
        weights = load_clip_weights(checkpoint)
        model_name = weights.model_name(model_name, "vit_base_patch32_clip_quickgelu_224")
        tower: Any = timm.create_model(
            model_name, pretrained=False, num_classes=feat_dim, img_size=input_size, **kwargs
        )
        weights.check_activation(tower, model_name)
        _check_patches(weights, tower, model_name)
        try:
            tower.load_state_dict(checkpoint_filter_fn(dict(weights.tensors), tower))
        except (RuntimeError, KeyError) as error:
            raise ValueError(f"{weights.path} does not hold the weights of timm's {model_name}: {error}") from error
        self.mean = tower.pretrained_cfg["mean"]
        self.std = tower.pretrained_cfg["std"]
        self.fingerprint = fingerprint(weights.tensors)
        self.tower = tower

    def forward(self, images: Tensor) -> Tensor:
        """Compute features (n, E) of images (n, 3, S, S)."""
        return self.tower(images)


def _check_patches(weights: ClipWeights, tower: Any, model_name: str) -> None:
    """Refuse patches and image sizes that ``checkpoint_filter_fn`` would resample without a warning."""
    for patch_name, position_name in PATCH_NAMES:
        if patch_name not in weights.tensors or position_name not in weights.tensors:
            continue
        ours = (tuple(tower.patch_embed.patch_size), tower.pos_embed.shape[1])
        theirs = (tuple(weights.tensors[patch_name].shape[-2:]), weights.tensors[position_name].shape[-2])
        if ours != theirs:
            raise ValueError(
                f"{weights.path} has patches of {theirs[0]} pixels and {theirs[1]} positions, timm's {model_name} at "
                f"input_size={tower.patch_embed.img_size[0]} has {ours[0]} and {ours[1]}: give the model_name and the "
                "input_size of these weights."
            )


@MODELS.register_module()
class OpenCLIP(ClipEncoder):
    """CLIP's image tower by open_clip (``pip install 'mmwsol[clip]'``).

    Args:
        checkpoint: File of weights, see :func:`load_open_clip`.
        model_name: Name in open_clip, see :func:`load_open_clip`. Defaults to None.

    Raises:
        FileNotFoundError: If the file does not exist; the message says how to get it.
        ImportError: If open_clip is not installed.
        ValueError: If it holds other weights.
    """

    def __init__(self, checkpoint: str, model_name: str | None = None) -> None:
        super().__init__()
        model, _, weights = load_open_clip(checkpoint, model_name)
        self.tower = model.visual
        self.embed_dim = int(self.tower.output_dim)
        size = self.tower.image_size
        self.input_size = size if isinstance(size, int) else size[0]
        preprocessing = import_open_clip().get_model_preprocess_cfg(model)
        self.mean = preprocessing.get("mean") or CLIP_MEAN
        self.std = preprocessing.get("std") or CLIP_STD
        self.fingerprint = fingerprint(weights.tensors)

    def forward(self, images: Tensor) -> Tensor:
        """Compute features (n, E) of images (n, 3, S, S)."""
        return self.tower(images)


@MODELS.register_module()
class StandInCLIP(ClipEncoder):
    """A linear map of the means of square patches, in CLIP's place for tests and dry runs without its weights.

    It is not trained: the results of a model that learned from it mean nothing.

    Args:
        embed_dim: Dimensions E of the features. Defaults to 512.
        input_size: Side S of the images. Defaults to 224.
        patch_size: Side of a patch. Defaults to 16.
        seed: Seed of the weights. Defaults to 0.

    Raises:
        ValueError: If patches do not divide the image.
    """

    def __init__(self, embed_dim: int = 512, input_size: int = 224, patch_size: int = 16, seed: int = 0) -> None:
        super().__init__()
        if input_size % patch_size:
            raise ValueError(f"patch_size={patch_size} does not divide input_size={input_size}.")
        self.embed_dim = embed_dim
        self.input_size = input_size
        self.patch_size = patch_size
        generator = torch.Generator().manual_seed(seed)
        width = 3 * (input_size // patch_size) ** 2
        self.weight = nn.Parameter(torch.randn(embed_dim, width, generator=generator) / width**0.5)
        self.bias = nn.Parameter(torch.randn(embed_dim, generator=generator))

    def forward(self, images: Tensor) -> Tensor:
        """Compute features (n, E) of images (n, 3, S, S)."""
        return F.linear(F.avg_pool2d(images, self.patch_size).flatten(1), self.weight, self.bias)


def import_open_clip() -> Any:
    """Import open_clip.

    Raises:
        ImportError: If it is not installed; the message names the extra.
    """
    try:
        import open_clip
    except ImportError as error:
        raise ImportError("open_clip is not installed: pip install 'mmwsol[clip]' (or open-clip-torch).") from error
    return open_clip


def find_clip(checkpoint: str) -> str:
    """Return the local file of CLIP weights.

    Raises:
        FileNotFoundError: If there is none; the message says how to get it.
    """
    path = os.path.expanduser(find_checkpoint(checkpoint))
    if os.path.isfile(path):
        return path
    url = checkpoint if "://" in checkpoint else OPENAI_VIT_B_32
    raise FileNotFoundError(
        f"CLIP weights {os.path.basename(path)} are not on this machine. Download {url} and give the "
        "file as checkpoint, or put it into the folder $MMWSOL_CHECKPOINT_ROOT. To train without CLIP, set "
        "model.head.map_losses.loss_sba=None."
    )


class ClipWeights(NamedTuple):
    """Weights of a CLIP.

    Attributes:
        path: Their file.
        tensors: Weights by their names in the file, in float32, without OpenAI's three sizes.
        quick_gelu: Whether they were trained with QuickGELU; None: the file does not say.
    """

    path: str
    tensors: dict[str, Tensor]
    quick_gelu: bool | None

    def model_name(self, given: str | None, default: str) -> str:
        """Return the name ``given`` or, for weights of QuickGELU, the name ``default`` of a model with it.

        Raises:
            ValueError: If none is given and the weights are not known to be of QuickGELU.
        """
        if given is not None or self.quick_gelu:
            return given or default
        what = "is of GELU" if self.quick_gelu is False else "does not say whether it is of QuickGELU or of GELU"
        raise ValueError(
            f"{self.path} {what}, and with the wrong one features are wrong without an error: name the model of these "
            f"weights ({default} is OpenAI's ViT-B/32, with QuickGELU)."
        )

    def check_activation(self, model: nn.Module, model_name: str) -> None:
        """Compare a model's activation with that of the weights, where the file says it.

        Raises:
            ValueError: If they differ.
        """
        quick = any(
            type(module).__name__ == "QuickGELU" for module in model.modules()
        )  # one class each in the packages
        if self.quick_gelu is None or self.quick_gelu == quick:
            return
        ours, theirs = ("QuickGELU", "GELU") if quick else ("GELU", "QuickGELU")
        fix = "take the name without 'quickgelu'" if quick else "take the name with 'quickgelu' in it"
        raise ValueError(
            f"{self.path} holds weights that were trained with {theirs}, and {model_name} computes {ours}: its "
            f"features would be wrong without an error; {fix}."
        )


def load_clip_weights(checkpoint: str) -> ClipWeights:
    """Load CLIP weights from a TorchScript archive (OpenAI), a safetensors file or a plain checkpoint.

    The activation is known for OpenAI's files, which store three sizes among the weights, and for files beside an
    ``open_clip_config.json``, as releases on the Hugging Face hub have it.

    Raises:
        FileNotFoundError: If there is no file; the message says how to get it.
        ValueError: If it holds something else than weights.
    """
    path = find_clip(checkpoint)
    loaded = load_checkpoint_file(path, map_location="cpu")["state_dict"]
    if not loaded or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise ValueError(f"{path} holds no weights by name.")
    quick_gelu = True if all(name in loaded for name in OPENAI_SIZES) else _configured_activation(path)
    tensors = {
        name.removeprefix("module."): value.float() if value.is_floating_point() else value
        for name, value in loaded.items()
        if name not in OPENAI_SIZES
    }
    return ClipWeights(path, tensors, quick_gelu)


def _configured_activation(path: str) -> bool | None:
    """Read ``quick_gelu`` of the file open_clip_config.json in the folder of the weights; None if there is none."""
    config = Path(path).with_name("open_clip_config.json")
    if not config.is_file():
        return None
    return bool(json.loads(config.read_text(encoding="utf-8")).get("model_cfg", {}).get("quick_gelu", False))


def fingerprint(tensors: Mapping[str, Tensor]) -> str | None:
    """Hash the weight of the image tower's patches, in half precision: the same in every form of the same CLIP.

    Returns:
        None if there is no such weight.
    """
    for name, _ in PATCH_NAMES:
        if name in tensors:
            return hashlib.sha256(tensors[name].detach().cpu().half().contiguous().numpy().tobytes()).hexdigest()
    return None


def load_open_clip(checkpoint: str, model_name: str | None = None) -> tuple[Any, str, ClipWeights]:
    """Make a model of open_clip with weights of a file; open_clip itself cannot load OpenAI's archives from a file.

    Args:
        checkpoint: File of weights with open_clip's names, OpenAI's among them: a TorchScript archive, a state
            dict or a safetensors file. A URL stands for the file of its name in ``$MMWSOL_CHECKPOINT_ROOT``.
        model_name: Name in open_clip. Defaults to None: 'ViT-B-32-quickgelu', and a file that does not
            say that it is of QuickGELU is refused.

    Returns:
        The model, in evaluation mode and float32, its name, and the weights.

    Raises:
        FileNotFoundError: If the file does not exist; the message says how to get it.
        ImportError: If open_clip is not installed.
        ValueError: If there is no such model, or the file holds other weights: other names or shapes, another
            activation.
    """
    open_clip = import_open_clip()
    weights = load_clip_weights(checkpoint)
    model_name = weights.model_name(model_name, "ViT-B-32-quickgelu")
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)  # "No pretrained weights loaded": they are, below
    try:
        model = open_clip.create_model(model_name, pretrained_hf=False)
    except RuntimeError as error:
        raise ValueError(f"open_clip has no model {model_name!r}: {error}") from error
    finally:
        logging.disable(disabled)
    weights.check_activation(model, model_name)
    tensors = dict(weights.tensors)
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    for name in ("logit_scale", "logit_bias"):  # a number or a vector of one, by the version
        if name in tensors and name in shapes:
            tensors[name] = tensors[name].reshape(shapes[name])
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(f"{weights.path} does not hold the weights of open_clip's {model_name}: {error}") from error
    return model.eval(), model_name, weights
