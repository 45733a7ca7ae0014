#!/bin/sh
before() {
    case $1 in
    'sudo hookmux log --failed'*)
        script /etc/libvirt/hooks/qemu.d/win10/prepare/begin/10-gpu 'exit 1'
        virsh start win10 > .said 2>&1 || :
        ;;
    esac
}
