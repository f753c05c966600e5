"""HeavyKeeper as it was published, the minimum version: the yardstick for ours. No residents that bypass the sketch,
weights of one."""
from __future__ import annotations

import heapq
import random

from istat.kernels.python.cubes.sampling.residents import MASK, mixed, row_constants


def minimum_version(stream, cells, width, depth=3, base=1.08, seed=1):
    """The keys that it reports, with their counts. The heap is lazy: an entry counts when it is up to date."""
    draw, constants = random.Random(seed), row_constants(depth, seed)
    prints, counts = [0] * (width * depth), [0] * (width * depth)
    top, heap, places = {}, [], {}
    for key in stream.tolist():
        if key not in places:
            words = [mixed(mixed(key + 1) + constant & MASK) for constant in constants]
            spots = [row * width + ((word >> 32) * width >> 32) for row, word in enumerate(words)]
            places[key] = words[0] & 0xFFFF, spots
        print, spots = places[key]
        while heap and top.get(heap[0][1]) != heap[0][0]:
            heapq.heapreplace(heap, (top[heap[0][1]], heap[0][1])) if heap[0][1] in top else heapq.heappop(heap)
        least = heap[0][0] if len(top) == cells else 0
        held = [at for at in spots if counts[at] and prints[at] == print]
        empty = [at for at in spots if not counts[at]]
        estimate = 0
        if held:
            at = held[0]
            if key in top or counts[at] <= least or len(top) < cells:
                counts[at] += 1
            estimate = counts[at]
        elif empty:
            prints[empty[0]], counts[empty[0]], estimate = print, 1, 1
        else:
            at = min(spots, key=counts.__getitem__)
            if draw.random() < base ** -counts[at]:
                counts[at] -= 1
                if counts[at] == 0:
                    prints[at], counts[at], estimate = print, 1, 1
        if key in top:
            top[key] = max(top[key], estimate)
        elif estimate and (len(top) < cells or estimate == least + 1):
            if len(top) == cells:
                del top[heapq.heappop(heap)[1]]
            top[key] = estimate
            heapq.heappush(heap, (estimate, key))
    return top
