"""Drawing with OpenCV. Every image is (H, W, 3) uint8 BGR; inputs are never changed."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from mmwsol.evaluation.functional import box_iou

Color = tuple[int, int, int]
GT_COLOR: Color = (80, 220, 60)
PRED_COLOR: Color = (40, 40, 240)
MASK_COLOR: Color = (220, 160, 40)
IGNORE_COLOR: Color = (150, 150, 150)
OTHER_COLOR: Color = (240, 120, 40)
GAP = 4  # between the pictures of a sheet, in pixels
LOWEST, HIGHEST, WIDEST = 224, 720, 4000  # height and width of one panel in pixels; JPEG ends at 65,500


def overlay_map(image: np.ndarray, score_map: np.ndarray, alpha: float = 0.5) -> np.ndarray:
    """Blend a localization map over an image.

    Args:
        image: (H, W, 3) uint8 BGR.
        score_map: (H, W) in [0, 1]; values outside are clipped, NaN counts as 0.
        alpha: Weight of the map. Defaults to 0.5.

    Returns:
        (H, W, 3) uint8 BGR.

    Raises:
        ValueError: If the sizes differ.
    """
    if score_map.shape != image.shape[:2]:
        raise ValueError(f"map {score_map.shape} and image {image.shape[:2]} differ in size.")
    level = np.nan_to_num(score_map.astype(np.float32)).clip(0, 1)
    colors = cv2.applyColorMap((level * 255).astype(np.uint8), cv2.COLORMAP_JET)
    return cv2.addWeighted(image, 1 - alpha, colors, alpha, 0)


def draw_boxes(
    image: np.ndarray,
    bboxes: np.ndarray,
    color: Color = GT_COLOR,
    texts: Sequence[str] | None = None,
    thickness: int | None = None,
) -> np.ndarray:
    """Draw boxes and, above each, a text.

    Args:
        image: (H, W, 3) uint8 BGR.
        bboxes: (N, 4) x0, y0, x1, y1 in pixels of the image.
        color: BGR.
        texts: One text per box.
        thickness: Of the lines, in pixels. Defaults to None: 1/120 of the shorter side.
    """
    image = image.copy()
    thickness = thickness or max(1, round(min(image.shape[:2]) / 120))
    boxes = np.round(np.asarray(bboxes, np.float64).reshape(-1, 4)).astype(int).tolist()
    for index, (x0, y0, x1, y1) in enumerate(boxes):
        cv2.rectangle(image, (x0, y0), (x1 - 1, y1 - 1), color, thickness)
        if texts is not None:
            _write(image, texts[index], (x0 + 1, max(y0 - 4, 10)), color)
    return image


def draw_masks(
    image: np.ndarray,
    mask: np.ndarray | None,
    ignore_mask: np.ndarray | None = None,
    alpha: float = 0.45,
) -> np.ndarray:
    """Tint a foreground mask (H, W) and, in gray, an ignore mask (H, W)."""
    image = image.copy()
    for region, color in ((ignore_mask, IGNORE_COLOR), (mask, MASK_COLOR)):
        if region is not None:
            inside = np.asarray(region, bool)
            tint = (1 - alpha) * image[inside] + alpha * np.array(color)
            image[inside] = tint.round().astype(np.uint8)
    return image


def enlargement(height: int, width: int) -> int:
    """Return the whole factor that makes a picture at least LOWEST pixels high, but no wider than WIDEST."""
    return max(1, min(-(-LOWEST // height), WIDEST // width))


def display_scale(height: int, width: int) -> float:
    """Return the factor for a readable picture: :func:`enlargement` of small ones; HIGHEST bounds the height."""
    return min(enlargement(height, width), HIGHEST / height if height > HIGHEST else np.inf, WIDEST / width)


def resize_picture(image: np.ndarray, scale: float) -> np.ndarray:
    """Resize by a factor: pixels repeated if it is larger than 1, averaged if smaller."""
    mode = cv2.INTER_NEAREST if scale >= 1 else cv2.INTER_AREA
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=mode)


def stack_panels(panels: Sequence[np.ndarray], caption: str = "") -> np.ndarray:
    """Put pictures of one size side by side under a caption, enlarged by :func:`enlargement`."""
    height, width = panels[0].shape[:2]
    row = resize_picture(np.concatenate(list(panels), axis=1), enlargement(height, width))
    header = np.full((22, row.shape[1], 3), 255, np.uint8)
    _fit_text(header, caption, 0, row.shape[1])
    return np.concatenate([header, row])


def draw_prediction(
    image: np.ndarray,
    score_map: np.ndarray,
    bbox: np.ndarray,
    gt_bboxes: np.ndarray,
    gt_name: str | None,
    pred_name: str,
    pred_score: float,
    panels: Sequence[str] = ("image", "overlay"),
    map_text: str = "",
    shown_name: str | None = None,
) -> np.ndarray:
    """Draw one prediction: the image, its map or the map over it, side by side, all with the boxes.

    The caption tells the true and the predicted class, the score, the class of the map where it is
    another one, and the largest IoU of a box with a ground-truth box (real coordinates, without the plus-one
    of some protocols).

    Args:
        image: (H, W, 3) uint8 BGR, the original image.
        score_map: (H, W) in [0, 1], in original pixels.
        bbox: (4,) predicted box in original pixels, or (N, 4) of several.
        gt_bboxes: (M, 4) ground-truth boxes in original pixels; M may be 0.
        gt_name: Ground-truth class; None if it is not known.
        pred_name: Predicted class.
        pred_score: Its score.
        panels: Any of 'image', 'map' and 'overlay', from left to right. Defaults to
            ('image', 'overlay').
        map_text: Text in the panel 'map', such as the range of its values. Defaults to ''.
        shown_name: Class of the map, if it is not the predicted one. Defaults to None.

    Returns:
        The picture, uint8 BGR.
    """
    iou = box_iou(bbox, gt_bboxes, plus_one=False)
    caption = "" if gt_name is None else f"gt: {gt_name} | "
    caption += f"pred: {pred_name} {pred_score:.2f}"
    if shown_name is not None:
        caption += f" | map: {shown_name}"
    if iou.size:
        caption += f" | IoU {iou.max():.2f}"
    # Resize before drawing: thin lines and a smooth map on small images.
    scale = display_scale(*image.shape[:2])
    image = resize_picture(image, scale)
    score_map = cv2.resize(score_map, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    drawn = []
    for panel in panels:
        canvas = image if panel == "image" else overlay_map(image, score_map, 1.0 if panel == "map" else 0.5)
        canvas = draw_boxes(canvas, np.asarray(gt_bboxes) * scale, GT_COLOR)
        canvas = draw_boxes(canvas, np.asarray(bbox) * scale, PRED_COLOR)
        if panel == "map" and map_text:
            _write(canvas, map_text, (4, canvas.shape[0] - 6), (255, 255, 255))
        drawn.append(canvas)
    return stack_panels(drawn, caption)


def draw_sheet(
    rows: Sequence[Sequence[np.ndarray]],
    titles: Sequence[str],
    texts: Sequence[Sequence[str]] | None = None,
    width: int = 200,
) -> np.ndarray:
    """Put pictures into a white sheet: a row an image, a column a method.

    Args:
        rows: Rows of (H, W, 3) uint8 BGR pictures, as many as ``titles``; those of a row have one size.
        titles: Text above each column.
        texts: Rows of texts, one for the lower left corner of each picture. Defaults to None.
        width: Of a column, in pixels. Defaults to 200.

    Raises:
        ValueError: If there is no row, or a row has another number of pictures than there are titles.
    """
    if not rows or any(len(row) != len(titles) for row in rows):
        raise ValueError(f"a sheet needs rows of {len(titles)} pictures, got rows of {[len(row) for row in rows]}.")
    total = len(titles) * (width + GAP) + GAP
    header = np.full((22, total, 3), 255, np.uint8)
    for column, title in enumerate(titles):
        _fit_text(header, title, GAP + column * (width + GAP), width)
    bands = [header]
    for index, row in enumerate(rows):
        height = max(1, round(row[0].shape[0] * width / row[0].shape[1]))
        band = np.full((height + GAP, total, 3), 255, np.uint8)
        for column, picture in enumerate(row):
            shrinks = picture.shape[1] > width
            mode = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
            cell = cv2.resize(picture, (width, height), interpolation=mode)
            if texts is not None and texts[index][column]:
                _write(cell, texts[index][column], (5, height - 6), (255, 255, 255))
            left = GAP + column * (width + GAP)
            band[:height, left : left + width] = cell
        bands.append(band)
    return np.concatenate(bands)


def draw_panel(
    image: np.ndarray,
    score_map: np.ndarray | None = None,
    gt_bboxes: np.ndarray | Sequence = (),
    bboxes: np.ndarray | Sequence = (),
) -> np.ndarray:
    """Draw a picture of a contact sheet, :class:`mmwsol.datasets.offline_cache.Panel`.

    Args:
        image: (H, W, 3) uint8 BGR.
        score_map: (H, W) in [0, 1], drawn over the image. Defaults to None.
        gt_bboxes: (M, 4) ground truth, in green. Defaults to ().
        bboxes: (K, 4), best first: the first in red, the others in blue. Defaults to ().
    """
    if score_map is not None:
        image = overlay_map(image, score_map, 0.6)
    for boxes, color in ((bboxes[1:], OTHER_COLOR), (bboxes[:1], PRED_COLOR), (gt_bboxes, GT_COLOR)):
        image = draw_boxes(image, np.asarray(boxes), color)
    return image


def draw_outcome(
    image: np.ndarray, gt_bboxes: np.ndarray, bboxes: Sequence[np.ndarray], colors: Sequence[Color], caption: str
) -> np.ndarray:
    """Draw an image with its ground-truth boxes and the box of each of several methods, under a caption.

    Args:
        image: (H, W, 3) uint8 BGR, the original image.
        gt_bboxes: (M, 4) in original pixels.
        bboxes: One (4,) box a method, in original pixels.
        colors: BGR, one a method.
        caption: Text above.
    """
    scale = enlargement(*image.shape[:2])
    image = resize_picture(image, scale)
    image = draw_boxes(image, np.asarray(gt_bboxes) * scale, GT_COLOR)
    for bbox, color in zip(bboxes, colors, strict=True):
        image = draw_boxes(image, np.asarray(bbox) * scale, color)
    return stack_panels([image], caption)


def _write(image: np.ndarray, text: str, origin: tuple[int, int], color: Color) -> None:
    font = cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(image, text, origin, font, 0.4, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(image, text, origin, font, 0.4, color, 1, cv2.LINE_AA)


def _fit_text(header: np.ndarray, text: str, left: int, width: int) -> None:
    """Write black text on a header of 22 pixels, smaller if it is too long for ``width``."""
    font, size = cv2.FONT_HERSHEY_SIMPLEX, 0.45
    while size > 0.25 and cv2.getTextSize(text, font, size, 1)[0][0] > width - 8:
        size -= 0.05
    cv2.putText(header, text, (left + 4, 15), font, size, (0, 0, 0), 1, cv2.LINE_AA)
