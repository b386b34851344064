"""Compute CLIP's text embeddings of a data set's classes once, for mmwsol.SemanticBoostLoss.

Needs open_clip (pip install 'mmwsol[clip]') and CLIP's weights in a file. Nothing is downloaded.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path


def parse_args(args: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--classes", required=True, help="type of a data set (CUB, ILSVRC, ...) or a text file with one name a line"
    )
    parser.add_argument("--checkpoint", help="file of CLIP weights; default: OpenAI's in $MMWSOL_CHECKPOINT_ROOT")
    parser.add_argument("--out", required=True, help="file to write (.pt)")
    parser.add_argument(
        "--model", help="name in open_clip; default: ViT-B-32-quickgelu, for files that are known to need QuickGELU"
    )
    parser.add_argument("--template", default="a photo of {}.", help="prompt; default: '%(default)s'")
    parser.add_argument("--replace-underscore", action="store_true", help="'Least_Auklet' becomes 'Least Auklet'")
    parser.add_argument("--first-synonym", action="store_true", help="'tench, Tinca tinca' becomes 'tench'")
    return parser.parse_args(args)


def read_classes(name: str) -> list[str]:
    """Return the class names of a data set or of a text file."""
    if Path(name).is_file():
        names = [line.strip() for line in Path(name).read_text(encoding="utf-8").splitlines() if line.strip()]
        if len(set(names)) != len(names):
            raise ValueError(f"'{name}' has a class twice.")
        return names
    from mmwsol.registry import DATASETS

    try:
        dataset = DATASETS.get(f"mmwsol.{name}")
    except KeyError as error:
        raise ValueError(f"--classes {name} is neither a file nor a data set: {error.args[0]}") from error
    classes = getattr(dataset, "METAINFO", {}).get("classes")
    if classes is None:
        raise ValueError(f"--classes {name}: {name} reads its classes from the data; write them to a file, one a line.")
    return list(classes)


def make_prompts(
    classes: Sequence[str], template: str, replace_underscore: bool = False, first_synonym: bool = False
) -> list[str]:
    """Put the names into the template."""
    if "{}" not in template:
        raise ValueError(f"--template '{template}' has no {{}} for the name.")
    names = [name.split(",")[0] if first_synonym else name for name in classes]
    return [template.format(name.replace("_", " ") if replace_underscore else name) for name in names]


def encode(prompts: Sequence[str], checkpoint: str, model_name: str | None = None):
    """Encode prompts with open_clip: embeddings (C, E), and what is known of the model, for the file."""
    import torch

    from mmwsol.methods.cdtr.clip_encoders import fingerprint, import_open_clip, load_open_clip

    model, name, weights = load_open_clip(checkpoint, model_name)
    tokenize = import_open_clip().get_tokenizer(name)
    tokens = tokenize(list(prompts))
    longer = tokenize(list(prompts), tokens.shape[1] + 1)[:, :-1]
    if not torch.equal(tokens, longer):  # open_clip cuts long texts in silence
        row = int((tokens != longer).any(dim=1).nonzero()[0])
        raise ValueError(f"the prompt '{prompts[row]}' is longer than the {tokens.shape[1]} tokens of {name}.")
    with torch.no_grad():
        parts = [model.encode_text(part) for part in tokens.split(64)]
    with open(weights.path, "rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    meta = dict(clip_name=name, weights_sha256=digest.hexdigest(), fingerprint=fingerprint(weights.tensors))
    return torch.cat(parts), meta


def main(args: Sequence[str] | None = None) -> None:
    options = parse_args(args)
    try:
        classes = read_classes(options.classes)
        prompts = make_prompts(classes, options.template, options.replace_underscore, options.first_synonym)
        from mmwsol.methods.cdtr.clip_encoders import OPENAI_VIT_B_32
        from mmwsol.methods.cdtr.text_embeddings import save_text_embeddings

        embeddings, meta = encode(prompts, options.checkpoint or OPENAI_VIT_B_32, options.model)
        save_text_embeddings(options.out, embeddings, classes, template=options.template, **meta)
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    print(f"Wrote {options.out}: {len(classes)} classes, {embeddings.shape[1]} dimensions, '{prompts[0]}', ...")


if __name__ == "__main__":
    main()
