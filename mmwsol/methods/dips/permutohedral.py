"""High-dimensional Gaussian filtering on the permutohedral lattice (Adams et al., Eurographics 2010)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_EXACT = 2**53  # whole numbers up to here are exact in float64
_POINTS_AT_ONCE = 2**18  # what is in use stays near the processor


def lattice_filter(features: Tensor, values: Tensor) -> Tensor:
    """Approximate ``out_i = sum_j exp(-|f_i - f_j|^2 / 2) in_j`` for every image, a few images at a time.

    Args:
        features: (B, d, N) coordinates in units of their standard deviations.
        values: (B, C, N).

    Returns:
        (B, C, N). Not differentiable: the lattice is not exactly symmetric.
    """
    step = max(1, _POINTS_AT_ONCE // features.shape[2])
    parts = zip(features.split(step), values.split(step), strict=True)
    return torch.cat([PermutohedralLattice(points).filter(inputs) for points, inputs in parts])


class PermutohedralLattice:
    """The lattices of the points of some images, built together, without a loop over points.

    Every point is spread over the d + 1 corners of its simplex of the lattice, the corners are blurred along the d + 1
    axes of the lattice, and read back with the same weights. What comes out is the unnormalized result of the code that
    dense CRFs use (Krähenbühl and Koltun, NIPS 2011), systematically 0.44 to 0.63 of the exact sum.

    A simplex is an integer; sorting finds the distinct ones, a few thousand in an image, and all else than the weights
    is computed for these. The official code takes points in groups of four and fills up the last group with points at
    the origin, which have corners but no value; so does this class.

    Args:
        features: (B, d, N) coordinates in units of their standard deviations.

    Raises:
        ValueError: If ``features`` has another shape, is empty, or reaches too far.
    """

    def __init__(self, features: Tensor) -> None:
        if features.ndim != 3 or not features.numel():
            raise ValueError(f"features must have shape (B, d, N) and not be empty, got {tuple(features.shape)}.")
        batch, dim, number = features.shape
        self.shape = (batch, number)
        fill = -number % 4
        if fill:
            features = torch.cat([features, features.new_zeros(batch, dim, fill)], dim=2)
        points = features.transpose(0, 1).reshape(dim, -1)  # (d, P), image after image
        base, rank, self.weights = _enclosing_simplex(points)

        # Where a simplex begins and how it orders the coordinates tell it from all others of the image.
        begin, strides = _pack(base.double())
        digits = (dim + 1) ** torch.arange(dim, device=points.device, dtype=torch.int32)
        order = (rank[:dim] * digits[:, None]).sum(0, dtype=torch.int32)
        images = torch.arange(batch, device=points.device)[:, None]
        code = (begin * (dim + 1) ** dim + order).view(batch, -1) + images * (strides[-1] * (dim + 1) ** dim)
        known, self.simplex = torch.unique(code.flatten(), return_inverse=True)
        first = torch.zeros_like(known)
        first[self.simplex] = torch.arange(code.numel(), device=code.device)  # any of the points in it
        self._number_vertices(base[:, first].long(), rank[:dim, first].long(), first // code.shape[1])
        if fill:
            self.simplex = self.simplex.view(batch, -1)[:, :number].flatten()
            self.weights = self.weights.view(dim + 1, batch, -1)[:, :, :number].flatten(1)

    def _number_vertices(self, base: Tensor, rank: Tensor, image: Tensor) -> None:
        """Find the distinct corners of the simplices and the two neighbors of each along every axis."""
        dim, count = base.shape
        corner = torch.arange(dim + 1, device=base.device)[:, None, None]
        place = base * (dim + 1) + torch.where(rank <= dim - corner, corner, corner - dim - 1)  # (d + 1, d, simplices)
        # Room for the neighbors of the outermost vertices: no two places share a key.
        keys, strides = _pack(place.transpose(0, 1).flatten(1).double(), margin=dim + 1)
        keys += image.repeat(dim + 1) * strides[-1]
        known, vertices = torch.unique(keys, return_inverse=True)
        self.num_vertices = len(known)
        self.vertices = vertices.view(dim + 1, count)
        steps = [(dim + 1) * stride - sum(strides[:dim]) for stride in strides[:dim]] + [-sum(strides[:dim])]
        self.neighbors = [(_look_up(known, known + step), _look_up(known, known - step)) for step in steps]

    def filter(self, values: Tensor) -> Tensor:
        """Filter values (B, C, N)."""
        channels, weights = values.transpose(0, 1).flatten(1), self.weights.to(values.dtype)
        # The last vertex stays zero: it stands for the neighbors that do not exist.
        lattice = values.new_zeros(len(channels), self.num_vertices + 1)
        index = self.simplex.expand(len(weights), -1)
        for vertex, channel in zip(lattice, channels, strict=True):
            corners = values.new_zeros(self.vertices.shape).scatter_add_(1, index, weights * channel)
            vertex.scatter_add_(0, self.vertices.flatten(), corners.flatten())
        for ahead, behind in self.neighbors:
            lattice[:, :-1] += 0.5 * (lattice[:, ahead] + lattice[:, behind])
        lattice *= 1 / (1 + 2.0 ** (1 - len(weights)))
        out = [(vertex[self.vertices].index_select(1, self.simplex) * weights).sum(0) for vertex in lattice]
        return torch.stack(out).view(len(channels), *self.shape).transpose(0, 1)


def _enclosing_simplex(points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Find the simplex around every point (d, P).

    Returns:
        The multiple of d + 1 at which the simplex begins (d, P), as floats, the rank of every coordinate within it
        (d + 1, P) int8, and the barycentric weights of its corners (d + 1, P).
    """
    dim = len(points)
    # Onto the hyperplane in d + 1 dimensions whose coordinates sum to zero.
    elevated = points.new_empty(dim + 1, points.shape[1])
    total = torch.zeros_like(points[0])
    for j in range(dim, 0, -1):
        scaled = points[j - 1] * (math.sqrt(2 / 3) * (dim + 1) / math.sqrt(j * (j + 1)))
        torch.sub(total, scaled, alpha=j, out=elevated[j])
        total += scaled
    elevated[0] = total

    base = torch.round(elevated / (dim + 1))  # halves to even, as the official code
    rest = torch.sub(elevated, base, alpha=dim + 1)
    rank = torch.zeros_like(rest, dtype=torch.int8)
    for i in range(dim):
        less = (rest[i] < rest[i + 1 :]).to(torch.int8)
        rank[i] += less.sum(0, dtype=torch.int8)
        rank[i + 1 :] += 1 - less
    rank += base.sum(0).to(torch.int8)
    turn = (rank < 0).to(torch.int8) - (rank > dim).to(torch.int8)
    rank += turn * (dim + 1)
    base += turn
    part = torch.sub(elevated, base, alpha=dim + 1) / (dim + 1)
    by_rank = torch.empty_like(part).scatter_(0, rank.long(), part)
    weights = torch.cat([by_rank[dim:] + 1 - by_rank[:1], (by_rank[:-1] - by_rank[1:]).flip(0)])
    return base[:dim], rank, weights


def _pack(rows: Tensor, margin: int = 0) -> tuple[Tensor, list[int]]:
    """Write columns of whole numbers (R, P), float64, as one number each.

    Returns:
        (P,) int64, and R + 1 steps: how much the result grows with each row, and what it stays below.

    Raises:
        ValueError: If the numbers do not fit.
    """
    low, high = rows.amin(1) - margin, rows.amax(1) + margin
    strides = [1]
    for size in (high - low + 1).tolist():
        strides.append(strides[-1] * int(size))
    if strides[-1] > _EXACT:
        raise ValueError("The features reach too far for the lattice: use larger standard deviations.")
    digits = rows.new_tensor(strides[:-1])
    return (digits @ rows - digits @ low).long(), strides


def _look_up(known: Tensor, keys: Tensor) -> Tensor:
    """Give the place of keys in the sorted ``known``, ``len(known)`` for those that it lacks."""
    place = torch.searchsorted(known, keys).clamp_(max=len(known) - 1)
    return torch.where(known[place] == keys, place, len(known))
