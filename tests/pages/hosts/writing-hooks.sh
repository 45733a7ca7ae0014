#!/bin/sh
hookmux install --driver qemu > .said 2>&1
property="<metadata><hookmux:properties xmlns:hookmux='urn:hookmux:properties:1'><hookmux:property name='scratch'>yes</hookmux:property></hookmux:properties></metadata>"
sed "s|<devices>|$property<devices>|" /etc/libvirt/qemu/web1.xml > /etc/libvirt/qemu/web1.edited
