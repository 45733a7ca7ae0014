#!/bin/sh
printf 'events: after_vm_stop\ncommand: /bin/true\n' > FILE.yaml
