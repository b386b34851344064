"""Orders in which :mod:`.sweep` visits the pixels of an 8-bit map, and its union-find. Needs numba.

Positions are flat indices into a grid with a frame of one pixel, which needs no tests of the border.
"""

from __future__ import annotations

import numpy as np
from numba import njit

LEVELS = 256


@njit(nogil=True, cache=True)
def find(parent, i):
    """Return the root of i, and shorten its path."""
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@njit(nogil=True, cache=True)
def value_order(u8_map):
    """Sort the positions by value; those of value v are order[starts[v]:starts[v + 1]]."""
    height, width = u8_map.shape
    pitch = width + 2
    starts = np.zeros(LEVELS + 1, np.int32)
    for r in range(height):
        for c in range(width):
            starts[np.int64(u8_map[r, c]) + 1] += 1
    for v in range(LEVELS):
        starts[v + 1] += starts[v]
    following = starts.copy()
    order = np.empty(height * width, np.int32)
    for r in range(height):
        for c in range(width):
            v = np.int64(u8_map[r, c])
            order[following[v]] = (r + 1) * pitch + c + 1
            following[v] += 1
    return order, starts


@njit(nogil=True, cache=True)
def filled_order(u8_map):
    """Sort the positions by the value at which the pixel joins the outside, as :func:`value_order`.

    That value is the least maximum of u on a 4-connected path to the border: above it the pixel is
    foreground or lies in a hole.
    """
    height, width = u8_map.shape
    pitch = width + 2
    total = (height + 2) * pitch
    value = np.zeros(total, np.int32)
    seen = np.ones(total, np.uint8)
    head = np.zeros(LEVELS, np.int32)  # first position of a linked list per value; 0 ends it
    following = np.empty(total, np.int32)
    for r in range(height):
        for c in range(width):
            p = (r + 1) * pitch + c + 1
            v = np.int64(u8_map[r, c])
            value[p] = v
            if r == 0 or c == 0 or r == height - 1 or c == width - 1:
                following[p] = head[v]
                head[v] = p
            else:
                seen[p] = 0
    order = np.empty(height * width, np.int32)
    starts = np.zeros(LEVELS + 1, np.int32)
    n = 0
    for v in range(LEVELS):
        starts[v] = n
        while head[v] > 0:
            p = head[v]
            head[v] = following[p]
            order[n] = p
            n += 1
            for q in (p - 1, p + 1, p - pitch, p + pitch):
                if not seen[q]:
                    seen[q] = 1
                    join = max(v, value[q])
                    following[q] = head[join]
                    head[join] = q
    starts[LEVELS] = n
    return order, starts
