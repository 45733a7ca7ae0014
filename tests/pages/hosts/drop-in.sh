#!/bin/sh
script /etc/libvirt/hooks/qemu :

before() {
    case $1 in
    *--beside*) hookmux uninstall > .said ;;
    esac
}
