"""A function, called as another user: a child that has given up its rights. The files of the tree, which that user may
not be able to read, are loaded already."""
from __future__ import annotations

import os
import pickle
import traceback
from collections.abc import Callable
from typing import Any

import pytest

NOBODY = 65534


def as_user(function: Callable[[], Any], user: int = NOBODY) -> Any:
    """What it returns. AssertionError with its traceback when it raises."""
    if os.geteuid():
        pytest.skip("no ext4 on a loop device: only root can become another user")
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(reading)
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
            told = (True, function())
        except BaseException:  # noqa: BLE001 - the parent is told of it
            told = (False, traceback.format_exc())
        with os.fdopen(writing, "wb") as out:
            out.write(pickle.dumps(told))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        data = answer.read()
    os.waitpid(child, 0)
    good, value = pickle.loads(data)
    assert good, value
    return value
