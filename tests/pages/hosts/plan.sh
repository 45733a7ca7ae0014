#!/bin/sh
script /etc/libvirt/hooks/before_vm_start/10-pages :
