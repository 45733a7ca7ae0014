#!/bin/sh
lived

words() { printf '%s\n' "$1" | sed 's/ ID / last /'; }
