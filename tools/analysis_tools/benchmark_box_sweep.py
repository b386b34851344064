"""Time the boxes of all thresholds of one map: brute force, one OpenCV call a level, and the library's way.

Prints CPU milliseconds per 224x224 map of one thread, each with the best IoU at all 1000 thresholds, and how many times
faster than brute force. All three must give the same IoUs, which is checked.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

SIZE = (224, 224)
MODES = ("single", "multi")


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("maps", nargs="?", help="folder of real maps (.png, .npy, .npz), e.g. those of TRT")
    parser.add_argument("--noise-maps", type=int, default=5, metavar="N", help="maps of 14x14 noise; default 5")
    parser.add_argument(
        "--white-maps", type=int, default=1, metavar="N", help="maps of white noise, seconds each; default 1"
    )
    parser.add_argument("--real-maps", type=int, default=0, metavar="N", help="real maps at most; default: all")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def brute_force(u8_map: np.ndarray, thresholds: np.ndarray, gt: np.ndarray, multi: bool) -> np.ndarray:
    """Return the best IoU at every threshold the obvious way: contours of every mask, as wsolevaluation does."""
    from mmwsol.evaluation.functional import box_iou, end_boxes

    boxes, owner = [], []
    for index, threshold in enumerate(thresholds.tolist()):
        level = int(threshold * int(u8_map.max()))
        _, mask = cv2.threshold(u8_map, level, 255, cv2.THRESH_BINARY)
        contours = cv2.findContours(mask, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[-2]
        if not multi:
            contours = [max(contours, key=cv2.contourArea)]
        boxes += [cv2.boundingRect(contour) for contour in contours]
        owner += [index] * len(contours)
    half_open = np.array(boxes, np.float64)
    half_open[:, 2:] += half_open[:, :2]
    iou = box_iou(end_boxes(half_open, SIZE, "exclusive_clip"), gt).max(axis=1)
    best = np.zeros(len(thresholds))
    np.maximum.at(best, owner, iou)
    return best


def by_levels(u8_map: np.ndarray, thresholds: np.ndarray, gt: np.ndarray, multi: bool, backend: str) -> np.ndarray:
    """Return the same through ``boxes_per_level``."""
    from mmwsol.evaluation.functional import (
        best_iou_per_level,
        boxes_per_level,
        default_bbox,
        end_boxes,
        threshold_levels,
    )

    levels = boxes_per_level(u8_map, "all_contours" if multi else "largest_contour", backend)
    levels = levels._replace(boxes=end_boxes(levels.boxes, SIZE, "exclusive_clip"))
    best = best_iou_per_level(levels, gt, default_bbox("zero", SIZE), backend=backend)
    return best[threshold_levels(thresholds, int(u8_map.max()))]


def make_maps(args: argparse.Namespace) -> dict[str, list[np.ndarray]]:
    """Return evaluated maps (224, 224) float64 by kind."""
    from mmwsol.evaluation.map_files import MAP_EXTENSIONS, MapFiles
    from mmwsol.models.box_rules import ContourBox

    rule = ContourBox(preset="wsol")
    random = np.random.RandomState(args.seed)
    raw = {
        "14x14 noise": [random.rand(14, 14) for _ in range(args.noise_maps)],
        "white noise": [random.rand(*SIZE) for _ in range(args.white_maps)],
    }
    if args.maps:
        files = MapFiles(args.maps)
        names = sorted(
            file.relative_to(args.maps).with_suffix("").as_posix()
            for file in Path(args.maps).rglob("*")
            if file.suffix.lower() in MAP_EXTENSIONS
        )[: args.real_maps or None]
        files.match(names, allow_extra=True)
        raw = {"real": [files.load(name)[0][0] for name in names], **raw}
    return {kind: [rule.scoremap(m[None], SIZE)[0] for m in maps] for kind, maps in raw.items() if maps}


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Return CPU milliseconds of this thread (other programs may be running) and the result."""
    start = time.thread_time()
    result = function()
    return 1000 * (time.thread_time() - start), result


def main() -> None:
    args = parse_args()
    from mmwsol.evaluation.functional import best_ious, threshold_grid, to_uint8
    from mmwsol.evaluation.functional.contours import compiled_sweep
    from mmwsol.models.box_rules import ContourBox

    cv2.setNumThreads(1)
    try:
        kinds = make_maps(args)
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    backend = "opencv" if compiled_sweep() is None else "numba"
    rule = ContourBox(preset="wsol")
    contours = {"single": ("largest",), "both": ("largest", "all")}
    thresholds, gt = threshold_grid(), np.array([[50.0, 60.0, 170.0, 180.0]])
    print(f"OpenCV {cv2.__version__}, numpy {np.__version__}, boxes_per_level: {backend}; {len(thresholds)} thresholds")
    print(f"{'maps':<18} {'mode':<6} {'brute':>10} {'levels':>18} {'library':>18} {'MaxBoxAcc':>18}   ms per map")

    def as_metric(scoremap: np.ndarray, mode: str) -> list[np.ndarray]:
        """Return the best IoUs as MaxBoxAcc computes them, from the float map."""
        swept = rule.sweep(scoremap, thresholds, contours[mode])
        return [best_ious(pieces, gt, rule.default_box(SIZE)) for pieces in swept.values()]

    for mode in contours:  # compile
        as_metric(next(iter(kinds.values()))[0], mode)
    for kind, maps in kinds.items():
        spent = {mode: np.zeros(4) for mode in ("single", "multi", "both")}
        for scoremap in maps:
            u8_map = to_uint8(scoremap)
            ious = {}
            for mode in MODES:
                multi = mode == "multi"
                ways = (
                    lambda u8=u8_map, multi=multi: brute_force(u8, thresholds, gt, multi),
                    lambda u8=u8_map, multi=multi: by_levels(u8, thresholds, gt, multi, "opencv"),
                    lambda u8=u8_map, multi=multi: by_levels(u8, thresholds, gt, multi, backend),
                )
                results = []
                for index, way in enumerate(ways):
                    milliseconds, result = timed(way)
                    spent[mode][index] += milliseconds
                    spent["both"][index] += milliseconds
                    results.append(result)
                ious[mode] = results[0]
                check_equal(results, f"{kind}, {mode}")
            for mode in contours:
                milliseconds, result = timed(lambda mode=mode, m=scoremap: as_metric(m, mode))
                spent[mode][3] += milliseconds
                check_equal([ious["single"], result[0]], f"{kind}, MaxBoxAcc")
            check_equal([ious["multi"], result[-1]], f"{kind}, MaxBoxAccV2")
        for mode, total in spent.items():
            total /= len(maps)
            cells = "".join(f" {ms:>9.2f} {total[0] / ms:>7.1f}x" if ms else f" {'-':>18}" for ms in total[1:])
            print(f"{kind + f' ({len(maps)})':<18} {mode:<6} {total[0]:>10.2f}{cells}", flush=True)
    print(
        "brute: 1000 x findContours; levels: OpenCV once a level; library: boxes_per_level. All with IoUs, all equal."
    )
    print("MaxBoxAcc: its way, from the float map; 'both' is single and multi together, as V2 computes them.")


def check_equal(ious: list[np.ndarray], what: str) -> None:
    """Stop if the IoUs of several ways differ."""
    if not all(np.array_equal(ious[0], other) for other in ious[1:]):
        sys.exit(f"the ways differ ({what}): this is a bug")


if __name__ == "__main__":
    main()
