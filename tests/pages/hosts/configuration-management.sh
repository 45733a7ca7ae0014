#!/bin/sh
hookmux install > .said 2>&1
for name in guard a b c; do printf 'events: after_vm_stop\ncommand: [/bin/echo, %s]\n' "$name" > "$name.yaml"; done
