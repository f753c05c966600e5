"""All that an instance tells of its data, as plain values without an order of cells: for tests to compare."""
from __future__ import annotations

from tests.kernels.cubes.cores import plain


def told(instance):
    """By cube: cells by key, totals, and what was lost."""
    return {str(cube.schema): told_of(cube) for cube in instance.cubes}


def told_of(cube):
    return {
        "cells": {view.key: {metric.name: plain(view[metric]) for metric in cube.metrics} for view in cube.cells()},
        "totals": {metric.name: plain(cube.totals[metric]) for metric in cube.metrics},
        "other": {metric.name: plain(cube.other(metric)) for metric in cube.metrics},
        "stats": cube.stats(),
    }
