"""Export of localizers: torch.export and ONNX."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmwsol.datasets.wrappers import inner_config
from mmwsol.files import write_json, writing
from mmwsol.models.data_preprocessor import normalization
from mmwsol.models.features import as_features

FORMATS = ("torch", "onnx")
OUTPUTS = ("scores", "maps", "labels")
TOLERANCE = 1e-3  # largest difference from PyTorch that is accepted, relative to the largest value of an output


class ExportableLocalizer(nn.Module):
    """A localizer from RGB pixels to scores and maps, with its normalization in it.

    Args:
        model: An :class:`mmwsol.models.ImageLocalizer`.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.backbone: Any = model.backbone
        self.head: Any = model.head
        normal = normalization(model.data_preprocessor)
        self.flip = not normal.to_rgb  # mean and std are then of BGR, too
        for name, values in (("mean", normal.mean), ("std", normal.std)):
            self.register_buffer(name, values.clone().view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Localize.

        Args:
            images: (B, 3, H, W) float32, RGB, 0 to 255, of the network's size.

        Returns:
            Scores (B, C), class probabilities; maps (B, K, h, w) as the network gives them; labels (B, K), the
            class of each map, best first, or -1 for one map that is the same for every class.
        """
        images = images.flip(1) if self.flip else images
        prediction = self.head.predict(as_features(self.backbone((images - self.mean) / self.std)))
        return prediction.scores, prediction.maps, prediction.labels


def export_model(
    model: Any,
    out: str | Path,
    format: str = "onnx",
    size: tuple[int, int] | None = None,
) -> dict[str, Any]:
    """Export a localizer with a dynamic batch and a fixed image size, and check the result against PyTorch.

    Beside ``out`` a JSON file of its name keeps what the graph does not: class names, image size, box rule and
    threshold.

    Args:
        model: Model of :func:`mmwsol.apis.init_model`; it is moved to the CPU.
        out: File: ``.pt2`` for format 'torch', ``.onnx`` for 'onnx'.
        format: 'torch' (``torch.export``) or 'onnx'. Defaults to 'onnx'.
        size: Image size (H, W). Defaults to None: that to which the test pipeline of ``model.cfg`` brings images, or
            else ``input_size`` of the model.

    Returns:
        ``file``, ``size`` and ``difference``, the largest relative difference of an output.

    Raises:
        ImportError: If the packages of the extra 'deploy' are missing.
        OSError: If a file cannot be written.
        RuntimeError: If the exported model differs from PyTorch by more than 1e-3 of the largest value of an output.
        ValueError: If the format is unknown, the size is not known, or the box rule has no threshold.
    """
    if format not in FORMATS:
        raise ValueError(f"format must be one of {FORMATS}, got {format!r}.")
    if format == "onnx":
        _require_onnx()
    out = Path(out)
    size = size or _tested_size(model) or model.input_size
    if size is None:
        raise ValueError(f"{type(model.backbone).__name__} names no image size: pass the image size, --size H W.")
    size = (int(size[0]), int(size[1]))
    rule = model.map_to_box
    rule = dict(type=f"mmwsol.{type(rule).__name__}", threshold=rule.get_threshold(), **rule.rule)  # before all work
    exportable = ExportableLocalizer(model.cpu()).eval()
    generator = torch.Generator().manual_seed(0)
    images = 255 * torch.rand(3, 3, *size, generator=generator)

    with writing(out) as part:  # an earlier file stays if this one is not as it should be
        _write_program(exportable, images[:2], part, format)
        difference = _largest_difference(exportable, load_exported(part), images)
        if difference > TOLERANCE:
            raise RuntimeError(
                f"'{out}' differs from PyTorch by {difference:.2g} of the largest value (> {TOLERANCE:g})."
            )
    notes = dict(
        input="images: (batch, 3, H, W) float32, RGB, 0 to 255",
        outputs=dict(scores="(batch, classes)", maps="(batch, k, h, w)", labels="(batch, k), -1: class-agnostic"),
        size=size,
        classes=model.dataset_meta.get("classes"),
        map_to_box=rule,
    )
    write_json(out.with_suffix(".json"), notes)
    return dict(file=str(out), size=size, difference=difference)


def _tested_size(model: Any) -> tuple[int, int] | None:
    """Return the (H, W) to which the test pipeline of a model's config brings every image, None if there is none."""
    loader = (getattr(model, "cfg", None) or {}).get("test_dataloader") or {}
    size = None
    for transform in inner_config(loader.get("dataset") or {}).get("pipeline") or ():
        sides = transform.get("crop_size", transform.get("scale"))
        if sides is not None:
            width, height = (sides, sides) if isinstance(sides, int) else sides
            fixed = "crop_size" in transform or not (transform.get("keep_ratio") or "edge" in transform)
            size = (int(height), int(width)) if fixed else None
    return size


def load_exported(path: str | Path) -> Callable[[Tensor], tuple[Tensor, ...]]:
    """Load an exported model as a function of images (B, 3, H, W) that returns scores, maps and labels.

    Raises:
        ImportError: If an ONNX file is given and onnxruntime is missing.
    """
    if Path(path).suffix != ".onnx":
        return torch.export.load(path).module()
    _require_onnx()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(images: Tensor) -> tuple[Tensor, ...]:
        return tuple(torch.from_numpy(output) for output in session.run(OUTPUTS, {"images": images.numpy()}))

    return run


def _write_program(model: nn.Module, images: Tensor, out: Path, format: str) -> None:
    """Trace the model with images (2, 3, H, W) and write the program, for any batch."""
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside torch and onnxscript
        batch = torch.export.Dim("batch", min=1, max=1024)
        program = torch.export.export(model, (images,), dynamic_shapes=({0: batch},), strict=True)
        if format == "torch":
            content = io.BytesIO()
            torch.export.save(program, content)
            out.write_bytes(content.getbuffer())
        else:
            torch.onnx.export(
                program,
                (),
                str(out),
                input_names=["images"],
                output_names=list(OUTPUTS),
                external_data=False,
                custom_translation_table={torch.ops.aten.sort.stable: _stable_sort()},
                verbose=False,
            )


def _largest_difference(model: nn.Module, exported: Callable[[Tensor], tuple[Tensor, ...]], images: Tensor) -> float:
    """Compare outputs for a batch of one and of three images; other labels count as infinite."""
    largest = 0.0
    for batch in (images[:1], images):
        with torch.no_grad():
            expected, actual = model(batch), exported(batch)
        for value, other in zip(expected, actual, strict=True):
            if value.shape != other.shape or (not value.is_floating_point() and not torch.equal(value, other)):
                return float("inf")
            if value.is_floating_point():
                scale = value.abs().max().clamp(min=torch.finfo(value.dtype).tiny)
                largest = max(largest, float((value - other).abs().max() / scale))
    return largest


def _stable_sort() -> Callable:
    """Make the ONNX form of a stable sort (TRT's selection), which torch 2.11 has not.

    TopK of all values puts the one with the lower index first where two are equal.
    """
    from onnxscript import opset18

    op: Any = opset18

    def sort(self, stable: bool = True, dim: int = -1, descending: bool = False):
        length = op.Gather(op.Shape(self), op.Constant(value_ints=[dim]))
        return op.TopK(self, length, axis=dim, largest=int(descending), sorted=1)

    return sort


def _require_onnx() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"ONNX needs onnx, onnxruntime and onnxscript ({error}): pip install 'mmwsol[deploy]'"
        ) from error
