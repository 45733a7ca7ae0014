# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Lets a real vdsm win over the modules in this directory.

This directory is near the beginning of Python's search path, and a real vdsm is behind it, in
site-packages. So `vdsm` of this directory looks for another one, and hands over to it. What the
other one lacks still comes from here: some packages bring a part of vdsm only.
"""

import os
import sys
from importlib.machinery import PathFinder

HERE = os.path.dirname(os.path.abspath(__file__))
OWN_NAME = os.path.basename(__file__)


def is_ours(directory):
    """Tells whether a directory is this one, its copy elsewhere, or below it."""
    directory = os.path.abspath(directory or os.curdir)
    return directory.startswith(HERE + os.sep) or os.path.exists(
        os.path.join(directory, OWN_NAME)
    )


def find_other(name):
    """Returns the spec of a module of this name that isn't in this directory, or None."""
    parent = name.rpartition(".")[0]
    path = sys.modules[parent].__path__ if parent else sys.path
    others = [directory for directory in path if not is_ours(directory)]
    for finder in sys.meta_path:
        find_spec = getattr(finder, "find_spec", None)
        if find_spec is None or isinstance(finder, GapFinder):
            continue
        spec = find_spec(name, others if finder is PathFinder or parent else None)
        if spec is not None:
            return spec
    return None


def hand_over(name):
    """Puts the other package of this name in the place of the one that is being imported."""
    spec = find_other(name)
    if spec is None or spec.submodule_search_locations is None:
        return
    fill_gaps()
    if spec.loader is None:
        # directories without an __init__.py: their modules come first
        own_path = sys.modules[name].__path__
        own_path[:0] = [path for path in spec.submodule_search_locations if path not in own_path]
        return
    import importlib.util

    # the import system takes what is in sys.modules afterwards
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)


class GapFinder:
    """Finds what a real vdsm lacks. It is asked last."""

    def find_spec(self, name, path=None, target=None):
        parents = name.split(".")[:-1]
        if parents[:1] != ["vdsm"]:
            return None
        return PathFinder.find_spec(name, [os.path.join(HERE, *parents)])


def fill_gaps():
    if not any(isinstance(finder, GapFinder) for finder in sys.meta_path):
        sys.meta_path.append(GapFinder())


def hooking():
    """Returns the module that both `hooking` and `vdsm.hook.hooking` are."""
    from vdsm.hook import hooking as module

    return module
