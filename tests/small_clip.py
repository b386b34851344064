"""A small CLIP of open_clip with random weights, and its files in the forms in which CLIPs are released."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import open_clip
import torch

WIDTH, HEADS, DEPTH, EMBED = 64, 2, 2, 16
# Arguments of mmwsol.TimmCLIP for its image tower, but the name.
TIMM = dict(feat_dim=EMBED, embed_dim=WIDTH, depth=DEPTH, num_heads=HEADS)
FORMS = ("archive", "state_dict", "safetensors")


def config(quick_gelu: bool = True, patch_size: int = 32) -> dict:
    """Make a config of open_clip, as ViT-B-32 but for its width and depth."""
    vision = dict(image_size=224, layers=DEPTH, width=WIDTH, head_width=WIDTH // HEADS, patch_size=patch_size)
    text = dict(context_length=77, vocab_size=49408, width=64, heads=1, layers=DEPTH)
    return dict(embed_dim=EMBED, quick_gelu=quick_gelu, vision_cfg=vision, text_cfg=text)


def register(folder: Path, monkeypatch, **configs: dict) -> None:
    """Let open_clip know models by name until the end of the test, also in place of those it has."""
    for name in ("_MODEL_CONFIG_PATHS", "_MODEL_CONFIGS"):
        monkeypatch.setattr(open_clip.factory, name, copy.copy(getattr(open_clip.factory, name)))
    for name, content in configs.items():
        (folder / f"{name.replace('_', '-')}.json").write_text(json.dumps(content))
    open_clip.add_model_config(folder)


def make(name: str, seed: int = 0):
    """Make a model in float32 whose weights are rounded where OpenAI's are stored in half precision."""
    torch.manual_seed(seed)
    model = open_clip.create_model(name).eval()
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)  # biases and norms too
    halves = _half_names(model)
    for name, parameter in model.named_parameters():
        if name in halves:
            parameter.data = parameter.data.half().float()
    return model


def _half_names(model) -> set[str]:
    """Name the weights that OpenAI stores in half precision: of convolutions, linear layers, attention, projections."""
    layers = (torch.nn.Conv2d, torch.nn.Linear, torch.nn.MultiheadAttention)
    names = {"text_projection", "visual.proj"}
    for prefix, module in model.named_modules():
        if isinstance(module, layers):
            names |= {f"{prefix}.{name}" for name, _ in module.named_parameters(recurse=False)}
    return names


def _archive(model):
    """Trace the model and store its weights like OpenAI: some in half precision, three sizes, no attention mask."""
    mask = model._buffers.pop("attn_mask")
    model.attn_mask = mask
    for name, value in dict(input_resolution=224, context_length=77, vocab_size=49408).items():
        model.__dict__.pop(name, None)
        model.register_buffer(name, torch.tensor(value))
    inputs = dict(encode_image=torch.zeros(1, 3, 224, 224), encode_text=torch.zeros(1, 77, dtype=torch.long))
    traced = torch.jit.trace_module(model, inputs, check_trace=False)
    halves = _half_names(model)
    for name, parameter in traced.named_parameters():
        if name in halves:
            parameter.data = parameter.data.half()
    return traced


def write(model, form: str, folder: Path) -> Path:
    """Write a file: OpenAI's TorchScript archive, or open_clip's state dict or safetensors file."""
    folder.mkdir(parents=True, exist_ok=True)
    if form == "archive":
        path = folder / "ViT-B-32.pt"
        _archive(copy.deepcopy(model)).save(str(path))
    elif form == "state_dict":
        path = folder / "vit_b_32.pt"
        torch.save({f"module.{name}": value for name, value in model.state_dict().items()}, path)
    else:
        from safetensors.torch import save_file

        path = folder / "open_clip_model.safetensors"
        save_file({name: value.contiguous() for name, value in model.state_dict().items()}, path)
    return path
