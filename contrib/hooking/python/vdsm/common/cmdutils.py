# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Programs by name."""

import errno
import os


class CommandPath(object):
    """A program that is at one of some paths, or in PATH.

    It is looked for when `cmd` is read for the first time.
    """

    def __init__(self, name, *paths, **options):
        self.name = name
        self.paths = paths
        self.search_path = options.pop("search_path", True)
        if options:
            raise TypeError("unknown arguments: %s" % ", ".join(sorted(options)))
        self._found = None

    @property
    def cmd(self):
        """The path; an OSError (ENOENT) that names the program if there is none."""
        if self._found is None:
            self._found = self._find()
        return self._found

    def _find(self):
        paths = list(self.paths)
        if self.search_path:
            directories = os.environ.get("PATH", os.defpath).split(os.pathsep)
            paths += [os.path.join(directory, self.name) for directory in directories if directory]
        for path in paths:
            if os.path.exists(path):
                return path
        raise OSError(errno.ENOENT, "%s: %s" % (os.strerror(errno.ENOENT), self.name))

    def __str__(self):
        return str(self.cmd)

    def __repr__(self):
        return "CommandPath(%r)" % (self.name,)
