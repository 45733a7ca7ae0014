#!/bin/sh
hookmux install > .said 2>&1
registration hugepages 'events: before_vm_prepare\ncommand: /usr/local/sbin/hugepages\nundo: /usr/local/sbin/hugepages'
virsh start web1 > .said
