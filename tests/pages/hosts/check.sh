#!/bin/sh
hookmux install > .said 2>&1
printf 'events: after_vm_stop\ncommand: /bin/true\n' > guard.yaml
cp guard.yaml FILE
