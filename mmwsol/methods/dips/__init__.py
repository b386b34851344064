"""DiPS: discriminative pseudo-label sampling (Murtaza et al., IVC 2023).

Boxes of a self-supervised transformer's attention maps, ranked by a classifier, are proposals; of one of them an image,
pixels are sampled as labels of foreground and background that train a decoder.

    backbone.py        the frozen transformer
    attention_maps.py  the set of its attention maps, their boxes
    offline.py         the proposals, an offline stage
    proposals.py       their files
    transforms.py      loading them
    seed_sampler.py    pixel labels
    head.py            classifier and decoder
    losses.py          partial cross-entropy, dense CRF
    permutohedral.py   the lattice that the latter filters on
    weights.py         names of the official releases
"""

from . import weights
from .backbone import DiPSViT
from .head import DiPSDecoder, DiPSHead
from .losses import DenseCRFLoss, PartialCrossEntropyLoss
from .offline import ProposalWriter
from .permutohedral import PermutohedralLattice
from .seed_sampler import SeedSampler
from .transforms import LoadProposals

__all__ = [
    "DenseCRFLoss",
    "DiPSDecoder",
    "DiPSHead",
    "DiPSViT",
    "LoadProposals",
    "PartialCrossEntropyLoss",
    "PermutohedralLattice",
    "ProposalWriter",
    "SeedSampler",
    "weights",
]
