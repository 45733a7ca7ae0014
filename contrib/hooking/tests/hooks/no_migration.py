#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
import os

import hooking

if "stays_here" in os.environ:
    hooking.log("no_migration: this guest stays here")
    hooking.exit_hook("a guest with `stays_here` can't migrate")
