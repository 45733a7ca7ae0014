#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Imports late, writes to standard output, and writes the document also where it changes nothing."""
import os
import sys
import traceback


def features(words):
    for word in words.split(","):
        if word[0] not in "+-":
            raise ValueError("cpu_features: %r begins with neither + nor -" % word)
        yield word[1:], {"+": "require", "-": "disable"}[word[0]]


def main():
    import hooking

    document = hooking.read_domxml()
    if "cpu_features" in os.environ:
        (cpu,) = document.getElementsByTagName("cpu")
        for name, policy in features(os.environ["cpu_features"]):
            feature = document.createElement("feature")
            feature.setAttribute("name", name)
            feature.setAttribute("policy", policy)
            cpu.appendChild(feature)
    hooking.write_domxml(document)
    print("<this is not a document>")


try:
    main()
except Exception:
    sys.stderr.write(traceback.format_exc())
    sys.exit(1)
