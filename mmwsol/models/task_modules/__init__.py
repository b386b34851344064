"""Parts of a localizer that learn nothing."""

from .map_to_box import ComponentBox, ContourBox
from .proposal_writer import ProposalWriter
from .pseudo_masks import PseudoMaskWriter
from .seed_sampler import SeedSampler

__all__ = ["ComponentBox", "ContourBox", "ProposalWriter", "PseudoMaskWriter", "SeedSampler"]
