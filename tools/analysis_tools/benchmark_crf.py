"""Time the dense CRF loss, forward and backward, beside a plain implementation for one image at a time.

The plain implementation is NumPy's, one image after the other, with all corners of all points sorted: what one writes
down from the recipe of the permutohedral lattice. Both compute the same loss and gradient, which is checked. Images are
pictures of a folder, or smooth random ones. The two take turns, so that other work on the machine slows both. Times are
medians of the clock, and of the processor time of all threads, which other programs disturb less; the load is printed
beside them. Threads that wait for each other sleep (OMP_WAIT_POLICY=passive, if not set): by default they would wait
busily, and a machine with other work on it would spend most of the time on that.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path

import numpy as np


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image-dir", metavar="DIR", help="folder of pictures; default: smooth random images")
    parser.add_argument("--size", type=int, default=224, metavar="N", help="side of the images; default 224")
    parser.add_argument("--batch-size", type=int, default=8, metavar="N", help="images a step; default 8")
    parser.add_argument("--repeats", type=int, default=9, metavar="N", help="timed steps; default 9")
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="threads of a CPU; default 2")
    parser.add_argument("--device", default="cpu", help="cpu or cuda; default cpu")
    args = parser.parse_args()
    if min(args.size, args.batch_size, args.repeats, args.threads) < 1:
        parser.error("--size, --batch-size, --repeats and --threads must be 1 or more")
    return args


def load_images(args: argparse.Namespace) -> np.ndarray:
    """Return (B, size, size, 3) uint8 RGB."""
    import cv2

    shape = (args.size, args.size)
    if args.image_dir is None:
        rng = np.random.default_rng(0)
        coarse = rng.uniform(0, 255, (args.batch_size, 9, 9, 3)).astype(np.float32)
        smooth = np.stack([cv2.resize(image, shape, interpolation=cv2.INTER_CUBIC) for image in coarse])
        return (smooth + rng.normal(0, 6, smooth.shape)).clip(0, 255).astype(np.uint8)
    read = (cv2.imread(str(path)) for path in sorted(Path(args.image_dir).iterdir()))
    images = [cv2.resize(image, shape, interpolation=cv2.INTER_AREA)[..., ::-1] for image in read if image is not None]
    if not images:
        raise ValueError(f"--image-dir {args.image_dir}: there is no picture in it.")
    return np.stack([images[i % len(images)] for i in range(args.batch_size)])


def plain_filter(features: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Filter values (C, N) of one image by its features (d, N)."""
    dim, number = features.shape
    scale = np.sqrt(2 / 3) * (dim + 1) / np.sqrt(np.arange(1, dim + 1) * np.arange(2, dim + 2))
    scaled = features * scale[:, None].astype(features.dtype)
    elevated = np.zeros((dim + 1, number), features.dtype)
    elevated[1:] = -np.arange(1, dim + 1)[:, None] * scaled
    elevated[:-1] += scaled[::-1].cumsum(0)[::-1]
    rounded = np.rint(elevated / (dim + 1))
    rest = elevated - rounded * (dim + 1)
    earlier = np.tril(np.ones((dim + 1, dim + 1), bool), -1)[:, :, None]  # ties: the later coordinate ranks higher
    rank = ((rest[:, None] < rest[None]) | (earlier & (rest[:, None] == rest[None]))).sum(1)
    rank += rounded.sum(0).astype(int)
    turn = (rank < 0).astype(int) - (rank > dim)
    rank += turn * (dim + 1)
    start = (rounded.astype(int) + turn) * (dim + 1)
    part = np.zeros_like(elevated)
    np.put_along_axis(part, rank, (elevated - start) / (dim + 1), axis=0)
    weights = np.concatenate([part[-1:] + 1 - part[:1], (part[:-1] - part[1:])[::-1]])
    corner = np.arange(dim + 1)[:, None, None]
    keys = start[:dim] + np.where(rank[:dim] <= dim - corner, corner, corner - dim - 1)  # (d + 1, d, N)
    digits = 4096 ** np.arange(dim)
    packed = ((keys + 2048) * digits[:, None]).sum(1)
    known, vertex = np.unique(packed.ravel(), return_inverse=True)
    vertex = vertex.reshape(dim + 1, number)
    steps = [(dim + 1) * digits[j] - digits.sum() for j in range(dim)] + [-digits.sum()]
    out = np.zeros_like(values)
    for channel in range(len(values)):
        lattice = np.bincount(vertex.ravel(), (weights * values[channel]).ravel())
        for step in steps:
            around = np.zeros_like(lattice)
            for wanted in (known + step, known - step):
                place = np.searchsorted(known, wanted).clip(max=len(known) - 1)
                around += np.where(known[place] == wanted, lattice[place], 0)
            lattice = lattice + 0.5 * around
        out[channel] = (lattice[vertex] * weights).sum(0) / (1 + 2.0**-dim)
    return out


def plain_loss(logits: np.ndarray, images: np.ndarray) -> tuple[float, np.ndarray]:
    """Return loss and gradient of logits (B, 2, H, W) on images (B, H, W, 3), image after image."""
    loss, grads = 0.0, []
    for logit, image in zip(logits, images, strict=True):
        height, width = image.shape[:2]
        exp = np.exp(logit - logit.max(0))
        probs = (exp / exp.sum(0)).reshape(2, -1)
        y, x = np.mgrid[:height, :width]
        features = np.concatenate([np.stack([x, y]) / 100.0, image.transpose(2, 0, 1) / 15.0])
        filtered = plain_filter(features.reshape(5, -1).astype(np.float32), probs)
        loss -= (probs * filtered).sum() * 2e-9 / len(images)
        grad = -2 * 2e-9 * filtered / len(images)
        grads.append((probs * (grad - (grad * probs).sum(0))).reshape(logit.shape))
    return loss, np.stack(grads)


def main() -> None:
    args = parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when torch is imported
    import torch

    from mmwsol.methods.dips import DenseCRFLoss, PermutohedralLattice

    torch.set_num_threads(args.threads)
    pictures = load_images(args)
    images = torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy()).to(args.device)
    torch.manual_seed(0)
    logits = torch.randn(args.batch_size, 2, args.size, args.size).to(args.device).requires_grad_()
    loss_crf = DenseCRFLoss()
    given = logits.detach().cpu().numpy()

    def ours() -> tuple[float, np.ndarray]:
        logits.grad = None
        loss = loss_crf(logits, images)
        loss.backward()
        return loss.item(), logits.grad.cpu().numpy()  # waits for the GPU

    times: dict[str, list[float]] = {"ours": [], "plain": []}
    processor: dict[str, list[float]] = {"ours": [], "plain": []}
    results = {}
    for repeat in range(-1, args.repeats):  # one round to warm up
        for name, run in (("ours", ours), ("plain", lambda: plain_loss(given, pictures))):
            start, start_cpu = time.perf_counter(), time.process_time()
            results[name] = run()
            if repeat >= 0:
                times[name].append(1000 * (time.perf_counter() - start) / args.batch_size)
                processor[name].append(1000 * (time.process_time() - start_cpu) / args.batch_size)
    error = np.abs(results["ours"][1] - results["plain"][1]).max() / np.abs(results["plain"][1]).max()
    vertices = PermutohedralLattice(loss_crf.features(images[:1].float())).num_vertices
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(
        f"{args.batch_size} images of {args.size}x{args.size}, {args.device}, {args.threads} threads, "
        f"{args.repeats} repeats; load {load:.1f}; {vertices} vertices in the first image"
    )
    for name, spent in times.items():
        median, low, high = statistics.median(spent), min(spent), max(spent)
        print(
            f"{name:<6} {median:8.1f} ms an image ({low:.1f} to {high:.1f}), processor "
            f"{statistics.median(processor[name]):.1f} ms, loss {results[name][0]:.6f}"
        )
    print(f"largest difference of the gradients: {error:.1e} of the largest")
    if error > 1e-3:  # float32, and softmax cancels most of the gradient
        raise SystemExit("the two do not agree")


if __name__ == "__main__":
    main()
