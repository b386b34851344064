"""MRI for Brain Tumor with Bounding Boxes: unpack the Kaggle archive and verify it.

python tools/dataset_converters/brain_tumor.py mri-for-brain-tumor-with-bounding-boxes.zip
"""

from __future__ import annotations

from common import below, run, unpack, verify

COUNTS = {
    "train": {"images": 4737, "Glioma": 1153, "Meningioma": 1449, "No Tumor": 711, "Pituitary": 1424},
    "val": {"images": 512, "Glioma": 136, "Meningioma": 140, "No Tumor": 100, "Pituitary": 136},
}


def convert(sources, out):
    from mmwsol.datasets import BrainTumor

    unpack(sources, out, below("Train", "Val"))
    return verify(out, {split: lambda split=split: BrainTumor(str(out), split) for split in COUNTS}, COUNTS)


if __name__ == "__main__":
    run(__doc__, "data/BrainTumor", convert)
