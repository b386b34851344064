"""What every geometric transform does beside changing the image."""

from __future__ import annotations

from mmwsol.structures import Frame


def frame_of(results: dict) -> Frame:
    """Return the frame of ``results``; the identity if there is none.

    Raises:
        ValueError: If a transform changed the size of the image without its frame: boxes and masks would be wrong.
    """
    height, width = results["img"].shape[:2]
    frame = results.get("frame") or Frame.identity(results.get("ori_shape", (height, width)))
    if frame.shape != (height, width):
        raise ValueError(
            f"the image became {width}x{height} (W x H) by a transform that does not update 'frame', which holds for "
            f"{frame.shape[1]}x{frame.shape[0]}: use mmwsol's transforms (mmwsol.Resize, mmwsol.RandomFlip, ...), "
            "which carry the frame"
        )
    return frame


def carry(results: dict, frame: Frame) -> dict:
    """Set ``frame``, ``img_shape`` and, if there are ground-truth boxes, ``gt_bboxes``.

    Boxes are computed from ``gt_bboxes_ori`` each time, never from the clipped boxes of the step before, so that a
    chain of any length is exact.
    """
    results["frame"] = frame
    results["img_shape"] = frame.shape
    if "gt_bboxes_ori" in results:
        results["gt_bboxes"] = frame.boxes(results["gt_bboxes_ori"])
    return results
