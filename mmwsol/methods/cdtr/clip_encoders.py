"""Image towers of CLIP, and files of its text embeddings, for :class:`mmwsol.methods.cdtr.SemanticBoostLoss`.

An encoder is a module that turns images (n, 3, S, S) into features (n, E), with the attributes ``embed_dim`` (E),
``input_size`` (S), ``mean`` and ``std`` (of its training, in 0-1).
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmwsol.models.weights import find_checkpoint
from mmwsol.registry import MODELS

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
OPENAI_VIT_B_32 = (
    "https://openaipublic.azureedge.net/clip/models/"
    "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af/ViT-B-32.pt"
)


class FrozenEncoder:
    """Hold an encoder outside the module tree.

    A plain attribute of a module, it is in no ``state_dict``, optimizer, distributed wrapper or moving average, and
    ``train()`` does not reach it. It follows its input's device and precision.

    Args:
        encoder (nn.Module): The encoder, which is frozen. Its ``embed_dim``, ``input_size``, ``mean`` and ``std`` are
            attributes of this class too.
    """

    def __init__(self, encoder: Any) -> None:
        self.encoder: nn.Module = encoder.eval().requires_grad_(False)
        self.embed_dim: int = encoder.embed_dim
        self.input_size: int = encoder.input_size
        self.mean: Sequence[float] = encoder.mean
        self.std: Sequence[float] = encoder.std

    def __call__(self, images: Tensor) -> Tensor:
        """Compute features (n, E) of images (n, 3, S, S), with gradient to the images."""
        weight = next(self.encoder.parameters())
        if (weight.device, weight.dtype) != (images.device, images.dtype):
            self.encoder.to(images.device, images.dtype)
        return self.encoder(images)

    def __deepcopy__(self, memo: dict) -> FrozenEncoder:
        return self


@MODELS.register_module()
class TimmCLIP(nn.Module):
    """CLIP's image tower by timm.

    Args:
        checkpoint (str): File of weights, of OpenAI's release (a TorchScript archive) or of timm. A URL stands for the
            file of its name in ``$MMWSOL_CHECKPOINT_ROOT``: nothing is downloaded.
        model_name (str): Name in timm. OpenAI's weights need a 'quickgelu' model. Defaults to
            'vit_base_patch32_clip_quickgelu_224'.
        feat_dim (int): Dimensions E of the features. Defaults to 512.
        input_size (int): Side S of the images. Defaults to 224.
        **kwargs: Further arguments of ``timm.create_model``.

    Raises:
        FileNotFoundError: If the file does not exist; the message says how to get it.
        ValueError: If it holds other weights.
    """

    mean, std = CLIP_MEAN, CLIP_STD

    def __init__(
        self,
        checkpoint: str,
        model_name: str = "vit_base_patch32_clip_quickgelu_224",
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
        tower: Any = timm.create_model(model_name, pretrained=False, num_classes=feat_dim, **kwargs)
        try:
            weights = checkpoint_filter_fn(dict(weights), tower)
            tower.load_state_dict({name: value.float() for name, value in weights.items()})
        except (RuntimeError, KeyError) as error:
            raise ValueError(f"{checkpoint} does not hold the weights of timm's {model_name}: {error}") from error
        self.tower = tower

    def forward(self, images: Tensor) -> Tensor:
        """Compute features (n, E) of images (n, 3, S, S)."""
        return self.tower(images)


@MODELS.register_module()
class OpenCLIP(nn.Module):
    """CLIP's image tower by open_clip (``pip install 'mmwsol[clip]'``).

    Args:
        checkpoint (str): File of weights, as for :class:`TimmCLIP`.
        model_name (str): Name in open_clip. OpenAI's weights need a 'quickgelu' model. Defaults to
            'ViT-B-32-quickgelu'.

    Raises:
        FileNotFoundError: If the file does not exist; the message says how to get it.
        ImportError: If open_clip is not installed.
    """

    mean, std = CLIP_MEAN, CLIP_STD

    def __init__(self, checkpoint: str, model_name: str = "ViT-B-32-quickgelu") -> None:
        super().__init__()
        path = find_clip(checkpoint)
        model = import_open_clip().create_model(model_name, pretrained=path)
        self.tower = model.visual
        self.embed_dim = int(self.tower.output_dim)
        size = self.tower.image_size
        self.input_size = size if isinstance(size, int) else size[0]

    def forward(self, images: Tensor) -> Tensor:
        """Compute features (n, E) of images (n, 3, S, S)."""
        return self.tower(images)


@MODELS.register_module()
class StandInCLIP(nn.Module):
    """A linear map of the means of square patches, in CLIP's place for tests and dry runs without its weights.

    It is not trained: the results of a model that learned from it mean nothing.

    Args:
        embed_dim (int): Dimensions E of the features. Defaults to 512.
        input_size (int): Side S of the images. Defaults to 224.
        patch_size (int): Side of a patch. Defaults to 16.
        seed (int): Seed of the weights. Defaults to 0.

    Raises:
        ValueError: If patches do not divide the image.
    """

    mean, std = CLIP_MEAN, CLIP_STD

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


def load_clip_weights(checkpoint: str) -> Mapping[str, Tensor]:
    """Load CLIP weights from a TorchScript archive (OpenAI), a safetensors file or a plain checkpoint."""
    from mmwsol.compat import load_checkpoint_file

    path = find_clip(checkpoint)
    if path.endswith(".safetensors"):
        from safetensors.torch import load_file

        return load_file(path)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            scripted = any(name.endswith("/constants.pkl") for name in archive.namelist())
        if scripted:
            return torch.jit.load(path, map_location="cpu").state_dict()
    loaded = load_checkpoint_file(path, map_location="cpu")
    return loaded.get("state_dict", loaded)


def save_text_embeddings(path: str | Path, embeddings: Tensor, classes: Sequence[str], **meta: str) -> None:
    """Write text embeddings (C, E) with the names of their classes.

    Args:
        path (str | Path): File.
        embeddings (Tensor): (C, E), which are brought to length 1.
        classes (Sequence[str]): C names as the data set has them.
        **meta (str): Further entries: ``template``, ``clip_name``, ``weights_sha256``.

    Raises:
        ValueError: If the numbers differ.
    """
    if len(embeddings) != len(classes):
        raise ValueError(f"{len(embeddings)} embeddings for {len(classes)} classes.")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    torch.save(dict(embeddings=F.normalize(embeddings.float(), dim=1), classes=list(classes), **meta), path)


def load_text_embeddings(path: str | Path) -> tuple[Tensor, tuple[str, ...]]:
    """Read embeddings (C, E) of length 1 and the names of their classes.

    Raises:
        FileNotFoundError: If the file does not exist; the message says how to make it.
        ValueError: If it is not a file of text embeddings.
    """
    tool = "python tools/make_clip_text_embeddings.py --classes CUB --out"
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f"there are no text embeddings '{path}'. Make them once: {tool} {path} (--help says more). To train "
            "without CLIP, set model.head.map_losses.loss_sba=None."
        )
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
        embeddings, classes = loaded["embeddings"], tuple(loaded["classes"])
    except Exception as error:  # a file of anything else raises anything
        raise ValueError(f"'{path}' is no file of text embeddings ({error}): make it with {tool} {path}.") from error
    if embeddings.ndim != 2 or len(embeddings) != len(classes):
        raise ValueError(f"'{path}' has embeddings {tuple(embeddings.shape)} for {len(classes)} classes: make it anew.")
    return embeddings, classes
