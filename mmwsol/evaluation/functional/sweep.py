"""Exact boxes of all levels of an 8-bit map in one pass of union-find. Needs numba.

The masks {u > T} are nested: while the level falls, pixels only join. One pass over the pixels from
bright to dark keeps all 8-connected regions, one from dark to bright all 4-connected holes. The
polygon area that OpenCV gives to a contour is that of the region *with its holes filled*, and grows
by whole 2x2 cells: twice the area is the number of cells with three pixels plus twice that of cells
with four.

This module fails to import without numba; :mod:`.contours` then works with OpenCV. Calls that would
do nothing are avoided in the loops over pixels: a test there is far cheaper than a call.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from .sweep_order import LEVELS, filled_order, find, value_order


@njit(nogil=True, cache=True)
def _merge_largest(parent, data, a, b):
    """Unite roots a and b (0: none yet) and return the root; rows are size, first, box."""
    if a == 0 or a == b:
        return b
    if b < a:
        a, b = b, a
    parent[b] = a
    data[a, 0] += data[b, 0]
    for k in (1, 2, 3):
        data[a, k] = min(data[a, k], data[b, k])
    for k in (4, 5):
        data[a, k] = max(data[a, k], data[b, k])
    return a


@njit(nogil=True, cache=True)
def _add_pixel(region, p, row, col):
    """Put a pixel into a region: first position and box; a region of size -1 is new."""
    if region[0] < 0:
        region[0], region[1] = 0, p
        region[2] = region[4] = col
        region[3] = region[5] = row
        return
    region[1] = min(region[1], p)
    region[2] = min(region[2], col)
    region[3] = min(region[3], row)
    region[4] = max(region[4], col)
    region[5] = max(region[5], row)


@njit(nogil=True, cache=True)
def _cells(north, south, west, east, nw, ne, sw, se):
    """Return by how much a pixel raises twice the polygon area: the 2x2 cells around it that it fills."""
    n, s, w, e = north > 0, south > 0, west > 0, east > 0
    return (
        np.int32(n + w + (nw > 0) >= 2)
        + np.int32(n + e + (ne > 0) >= 2)
        + np.int32(s + w + (sw > 0) >= 2)
        + np.int32(s + e + (se > 0) >= 2)
    )


@njit(nogil=True, cache=True)
def _winner(parent, data, tied, ties, checked, v, count_pixels):
    """Leave every region once among those of the best size; return their number, and the first or the last."""
    kept, winner = 0, 0
    for i in range(ties):
        root = find(parent, tied[i])
        if checked[root] == v:
            continue
        checked[root] = v
        tied[kept] = root
        kept += 1
        if winner == 0 or (data[root, 1] < data[winner, 1]) == count_pixels:
            winner = root
    return kept, winner


@njit(nogil=True, cache=True)
def _largest(order, starts, height, width, count_pixels):
    """Find the box (256, 4) of the largest region of every level, and the number of levels.

    Size is the number of pixels, on ties the first region in raster order; or twice the polygon
    area, on ties the last one, which is OpenCV's first.
    """
    pitch = width + 2
    label = np.zeros((height + 2) * pitch, np.int32)
    capacity = ((height + 1) // 2) * ((width + 1) // 2) + 1
    parent = np.empty(capacity, np.int32)
    data = np.empty((capacity, 6), np.int32)
    tied = np.empty(height * width, np.int32)  # regions that reached the best size
    checked = np.zeros(capacity, np.int32)
    boxes = np.zeros((LEVELS, 4), np.int32)
    used, ties, best, peak = 0, 0, -1, 0
    for v in range(LEVELS - 1, 0, -1):
        if starts[v] == starts[v + 1]:
            if peak > 0:
                boxes[v - 1] = boxes[v]
            continue
        peak = max(peak, v)
        for p in order[starts[v] : starts[v + 1]]:
            north, south, west, east = label[p - pitch], label[p + pitch], label[p - 1], label[p + 1]
            nw, ne, sw, se = label[p - pitch - 1], label[p - pitch + 1], label[p + pitch - 1], label[p + pitch + 1]
            root = 0
            # Neighbors of the pixel that touch each other are united already.
            if north:
                root = find(parent, north)
            if south:
                root = _merge_largest(parent, data, root, find(parent, south))
            if west:
                root = _merge_largest(parent, data, root, find(parent, west))
            if east:
                root = _merge_largest(parent, data, root, find(parent, east))
            if nw and not north and not west:
                root = _merge_largest(parent, data, root, find(parent, nw))
            if ne and not north and not east:
                root = _merge_largest(parent, data, root, find(parent, ne))
            if sw and not south and not west:
                root = _merge_largest(parent, data, root, find(parent, sw))
            if se and not south and not east:
                root = _merge_largest(parent, data, root, find(parent, se))
            if root == 0:
                used += 1
                root = used
                parent[root] = root
                data[root, 0] = -1  # no pixel yet
            _add_pixel(data[root], p, p // pitch - 1, p % pitch - 1)
            label[p] = root
            data[root, 0] += 1 if count_pixels else _cells(north, south, west, east, nw, ne, sw, se)
            size = data[root, 0]
            if size > best:
                best, ties = size, 0
            if size == best and (ties == 0 or tied[ties - 1] != root):
                tied[ties] = root  # one entry a pixel at most: there is room
                ties += 1
        ties, winner = _winner(parent, data, tied, ties, checked, v, count_pixels)
        boxes[v - 1, 0], boxes[v - 1, 1] = data[winner, 2], data[winner, 3]
        boxes[v - 1, 2], boxes[v - 1, 3] = data[winner, 4] + 1, data[winner, 5] + 1
    return boxes, peak


@njit(nogil=True, cache=True)
def _emit(nodes, n, box, grow, low, high):
    """Append the box (inclusive ends) of levels low to high, if there are any; return the count."""
    if low > high:
        return n
    nodes[n, 0], nodes[n, 1] = box[0] - grow, box[1] - grow
    nodes[n, 2], nodes[n, 3] = box[2] + 1 + grow, box[3] + 1 + grow
    nodes[n, 4], nodes[n, 5] = low, high
    return n + 1


@njit(nogil=True, cache=True)
def _contains(a, b):
    return a[0] <= b[0] and a[1] <= b[1] and a[2] >= b[2] and a[3] >= b[3]


@njit(nogil=True, cache=True)
def _extend(a, x0, y0, x1, y1):
    a[0], a[1], a[2], a[3] = min(a[0], x0), min(a[1], y0), max(a[2], x1), max(a[3], y1)


@njit(nogil=True, cache=True)
def _merge_nodes(parent, data, nodes, n, a, b, v, falling):
    """Unite the different roots a and b at value v; return the root and the number of nodes.

    Rows are a box (inclusive ends) and the level at which this box began; a box that stays needs no
    new node.
    """
    if _contains(data[b], data[a]):
        a, b = b, a
    grows = not _contains(data[a], data[b])
    for c in (b, a):
        if c == b or grows:
            if falling:
                n = _emit(nodes, n, data[c], 0, v, data[c, 4])
            else:
                n = _emit(nodes, n, data[c], 1, data[c, 4], v - 1)
    if grows:
        _extend(data[a], data[b, 0], data[b, 1], data[b, 2], data[b, 3])
        data[a, 4] = v - 1 if falling else v
    parent[b] = a
    return a, n


@njit(nogil=True, cache=True)
def _region_nodes(order, starts, height, width):
    """List the boxes of all 8-connected regions: rows x0, y0, x1, y1 (half-open), low, high."""
    pitch = width + 2
    label = np.zeros((height + 2) * pitch, np.int32)
    capacity = ((height + 1) // 2) * ((width + 1) // 2) + 1
    parent = np.zeros(capacity, np.int32)
    data = np.empty((capacity, 5), np.int32)
    nodes = np.empty((2 * height * width + 4, 6), np.int32)
    used, n = 0, 0
    for v in range(LEVELS - 1, 0, -1):
        for p in order[starts[v] : starts[v + 1]]:
            north, south, west, east = label[p - pitch], label[p + pitch], label[p - 1], label[p + 1]
            nw, ne, sw, se = label[p - pitch - 1], label[p - pitch + 1], label[p + pitch - 1], label[p + pitch + 1]
            root = 0
            # Written out: a function for the branch that repeats makes all boxes of a smooth map 2.2 times slower (2.3
            # to 5.2 ms on one CPU core), a loop over the neighbors 1.25 times.
            if north:
                root = find(parent, north)
            if south:
                other = find(parent, south)
                if root == 0:
                    root = other
                elif root != other:
                    root, n = _merge_nodes(parent, data, nodes, n, root, other, v, True)
            if west:
                other = find(parent, west)
                if root == 0:
                    root = other
                elif root != other:
                    root, n = _merge_nodes(parent, data, nodes, n, root, other, v, True)
            if east:
                other = find(parent, east)
                if root == 0:
                    root = other
                elif root != other:
                    root, n = _merge_nodes(parent, data, nodes, n, root, other, v, True)
            if nw and not north and not west:
                other = find(parent, nw)
                if root == 0:
                    root = other
                elif root != other:
                    root, n = _merge_nodes(parent, data, nodes, n, root, other, v, True)
            if ne and not north and not east:
                other = find(parent, ne)
                if root == 0:
                    root = other
                elif root != other:
                    root, n = _merge_nodes(parent, data, nodes, n, root, other, v, True)
            if sw and not south and not west:
                other = find(parent, sw)
                if root == 0:
                    root = other
                elif root != other:
                    root, n = _merge_nodes(parent, data, nodes, n, root, other, v, True)
            if se and not south and not east:
                other = find(parent, se)
                if root == 0:
                    root = other
                elif root != other:
                    root, n = _merge_nodes(parent, data, nodes, n, root, other, v, True)
            row, col = p // pitch - 1, p % pitch - 1
            if root == 0:
                used += 1
                root = used
                parent[root] = root
                data[root, 0] = data[root, 2] = col
                data[root, 1] = data[root, 3] = row
                data[root, 4] = v - 1
            elif col < data[root, 0] or row < data[root, 1] or col > data[root, 2] or row > data[root, 3]:
                n = _emit(nodes, n, data[root], 0, v, data[root, 4])
                _extend(data[root], col, row, col, row)
                data[root, 4] = v - 1
            label[p] = root
    for root in range(1, used + 1):
        if parent[root] == root:
            n = _emit(nodes, n, data[root], 0, 0, data[root, 4])
    return nodes[:n]


@njit(nogil=True, cache=True)
def _hole_nodes(order, starts, height, width):
    """List the boxes of the contours of all holes, rows as in :func:`_region_nodes`.

    A hole is a 4-connected part of {u <= T} that does not reach the frame; its contour lies on the
    pixels around it.
    """
    pitch = width + 2
    label = np.zeros((height + 2) * pitch, np.int32)
    capacity = (height * width + 1) // 2 + 2
    parent = np.zeros(capacity, np.int32)
    data = np.empty((capacity, 5), np.int32)
    nodes = np.empty((2 * height * width + 4, 6), np.int32)
    outside, used, n = 1, 1, 0
    parent[outside] = outside
    label[:pitch] = outside
    label[-pitch:] = outside
    for row in range(1, height + 1):
        label[row * pitch] = label[row * pitch + width + 1] = outside
    for v in range(LEVELS):
        for p in order[starts[v] : starts[v + 1]]:
            root, joins = 0, False
            for q in (p - pitch, p + pitch, p - 1, p + 1):
                if label[q]:
                    other = find(parent, label[q])
                    if other == outside:
                        joins = True
                    elif root == 0:
                        root = other
                    elif root != other:
                        root, n = _merge_nodes(parent, data, nodes, n, root, other, v, False)
            if joins:
                if root:
                    n = _emit(nodes, n, data[root], 1, data[root, 4], v - 1)
                    parent[root] = outside
                label[p] = outside
                continue
            row, col = p // pitch - 1, p % pitch - 1
            if root == 0:
                used += 1
                root = used
                parent[root] = root
                data[root, 0] = data[root, 2] = col
                data[root, 1] = data[root, 3] = row
                data[root, 4] = v
            elif col < data[root, 0] or row < data[root, 1] or col > data[root, 2] or row > data[root, 3]:
                n = _emit(nodes, n, data[root], 1, data[root, 4], v - 1)
                _extend(data[root], col, row, col, row)
                data[root, 4] = v
            label[p] = root
    return nodes[:n]


@njit(nogil=True, cache=True)
def largest_boxes(u8_map, components):
    """Return the boxes (L, 4), half-open, of the levels 0 to L-1; L is the maximum of the map."""
    height, width = u8_map.shape
    order, starts = value_order(u8_map) if components else filled_order(u8_map)
    boxes, peak = _largest(order, starts, height, width, components)
    return boxes[:peak]


@njit(nogil=True, cache=True)
def all_nodes(u8_map, holes):
    """Return rows x0, y0, x1, y1 (half-open), low, high of all regions and, if asked for, all holes."""
    height, width = u8_map.shape
    order, starts = value_order(u8_map)
    nodes = _region_nodes(order, starts, height, width)
    if holes:
        inner = _hole_nodes(order, starts, height, width)
        return np.concatenate((nodes, inner))
    return nodes.copy()


@njit(nogil=True, cache=True)
def best_iou(boxes, low, high, gt_bboxes, plus_one):
    """Return the best IoU (256,) of any box with any ground truth per level, -1 without boxes.

    The arithmetic is that of :func:`mmwsol.evaluation.functional.box_iou`, operation by operation.
    """
    one = 1.0 if plus_one else 0.0
    best = np.full(LEVELS, -1.0)
    gt_areas = np.empty(len(gt_bboxes))
    for m in range(len(gt_bboxes)):
        g = gt_bboxes[m]
        gt_areas[m] = _area(g[2] - g[0], g[3] - g[1], plus_one)
    for n in range(len(boxes)):
        b = boxes[n]
        area = _area(b[2] - b[0], b[3] - b[1], plus_one)
        top = 0.0
        for m in range(len(gt_bboxes)):
            g = gt_bboxes[m]
            width = max(min(b[2], g[2]) - max(b[0], g[0]) + one, 0.0)
            height = max(min(b[3], g[3]) - max(b[1], g[1]) + one, 0.0)
            inter = width * height
            union = area + gt_areas[m] - inter
            if union > 0:
                top = max(top, inter / union)
        for level in range(low[n], high[n] + 1):
            if top > best[level]:
                best[level] = top
    return best


@njit(nogil=True, cache=True)
def _area(width, height, plus_one):
    if plus_one:
        return (width + 1.0) * (height + 1.0)
    return max(width, 0.0) * max(height, 0.0)
