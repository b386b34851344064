"""Time the evaluation of an ILSVRC-sized set: MaxBoxAcc and MaxBoxAccV2, 1000 thresholds, IoU .3, .5 and .7.

Maps are smooth 14x14 ones as a vision transformer makes them, repeated with new random ground truth: every one is
resized, normalized and swept in full. Reports minutes, and the memory that comes on top of the maps. With --network-ms
also what the metric's threads gain beside a network on an accelerator, for which every batch then waits.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from typing import Any

import numpy as np

DISTINCT = 28  # maps


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=50_000, metavar="N", help="images; default 50000")
    parser.add_argument("--batch-size", type=int, default=64, metavar="N", help="images a batch; default 64")
    parser.add_argument("--num-threads", type=int, metavar="N", help="threads of the metric; default: its own")
    parser.add_argument(
        "--network-ms", type=float, metavar="MS", help="wait for every batch; with and without threads, in turn"
    )
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.number < 1 or args.batch_size < 1:
        parser.error("--number and --batch-size must be 1 or more")
    return args


def smooth_map(random: np.random.RandomState, side: int = 14) -> np.ndarray:
    """Return a float32 map (side, side): some blobs on weak noise."""
    axis = np.arange(side)
    scoremap = 0.15 * random.rand(side, side)
    for _ in range(random.randint(1, 4)):
        (x, y), spread = random.uniform(2, side - 3, 2), random.uniform(1, 3.5)
        blob = np.exp(-((axis[:, None] - y) ** 2 + (axis[None] - x) ** 2) / (2 * spread**2))
        scoremap += random.uniform(0.4, 1) * blob
    return scoremap.astype(np.float32)


def make_sample(index: int, maps: np.ndarray, random: np.random.RandomState) -> dict[str, Any]:
    """Return a data sample of a 500x375 picture with 1 to 4 boxes, mostly one (ILSVRC val: 1.6 on average)."""
    count = min(1 + random.geometric(0.65) - 1, 4) or 1
    start = random.uniform(0, 0.6, (count, 2)) * (500, 375)
    end = start + random.uniform(0.15, 0.4, (count, 2)) * (500, 375)
    return {
        "img_id": f"{index:08d}",
        "ori_shape": (375, 500),
        "img_shape": (224, 224),
        "gt_label": 0,
        "gt_bboxes_ori": np.concatenate([start, end], axis=1).astype(int).astype(np.float32),
        "pred_maps": {"maps": maps[index % len(maps)][None], "labels": np.array([-1])},
    }


def resident() -> float:
    """Return the resident memory in MiB now; its peak where the system does not tell."""
    if os.path.exists("/proc/self/statm"):
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    return peak()


def peak() -> float:
    """Return the largest resident memory of this process so far in MiB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def main() -> None:
    args = parse_args()
    from mmwsol.evaluation.functional.contours import compiled_sweep
    from mmwsol.evaluation.metrics import MaxBoxAcc
    from mmwsol.utils.progress import track

    random = np.random.RandomState(args.seed)
    maps = np.stack([smooth_map(random) for _ in range(DISTINCT)])
    warm_up = MaxBoxAcc()  # compile, or load what is compiled
    warm_up.process(None, [make_sample(0, maps, random)])
    warm_up.evaluate(1)

    def evaluate(num_threads: int | None, wait: float) -> tuple[float, MaxBoxAcc, dict[str, float]]:
        """Return seconds, metric and values of one pass."""
        metric, start = MaxBoxAcc(iou_thrs=(0.3, 0.5, 0.7), num_threads=num_threads), time.perf_counter()
        batches = range(0, args.number, args.batch_size)
        for first in track(batches, "Evaluation", len(batches), stream=sys.stderr):
            indices = range(first, min(first + args.batch_size, args.number))
            samples = [make_sample(index, maps, random) for index in indices]
            time.sleep(wait)
            metric.process(None, samples)
        values = metric.evaluate(args.number)
        return time.perf_counter() - start, metric, values

    if args.network_ms:
        wait = args.network_ms / 1000
        without, _, _ = evaluate(0, wait)
        seconds, metric, _ = evaluate(args.num_threads, wait)
        network = wait * -(-args.number // args.batch_size)
        print(f"\n{args.number} maps, {args.network_ms:g} ms of network a batch of {args.batch_size}: {network:.1f} s")
        print(f"no threads: {without:.1f} s; {metric.pool.num_threads} threads: {seconds:.1f} s: ", end="")
        print(f"{without / seconds:.2f} times faster; on top of the network {without - network:.1f} s, ", end="")
        print(f"{seconds - network:.1f} s (load {os.getloadavg()[0]:.1f})")
        return

    before, cpu = resident(), time.process_time()
    seconds, metric, values = evaluate(args.num_threads, 0.0)
    cpu = time.process_time() - cpu
    after = peak()

    sweep = "opencv" if compiled_sweep() is None else "numba"
    print(
        f"\n{args.number} maps, {len(metric.thresholds)} thresholds, IoU {metric.v2_thrs}, single and multi ({sweep})"
    )
    print(f"time: {seconds / 60:.2f} min ({1000 * seconds / args.number:.2f} ms a map), CPU {cpu / 60:.2f} min", end="")
    print(f" on {os.cpu_count()} cores (load {os.getloadavg()[0]:.1f})")
    print(f"memory: {before:.0f} MiB before, peak {after:.0f} MiB: at most {max(after - before, 0):.0f} MiB more")
    print(f"loc/max_box_acc {values['loc/max_box_acc']:.3f}, loc/max_box_acc_v2 {values['loc/max_box_acc_v2']:.3f}")


if __name__ == "__main__":
    main()
