#!/bin/sh
# Installs hookmux: ./install.sh [--prefix /DIR]
set -eu
case $#:${1-} in
0:) prefix=/usr ;;
2:--prefix) prefix=$2 ;;
*) prefix=none ;;
esac
[ "${prefix#/}" != "$prefix" ] || { echo "usage: $0 [--prefix /DIR]" >&2; exit 2; }
umask 022
cd "$(dirname "$0")"
sha256sum -c SHA256SUMS > /dev/null
mkdir -p "$prefix/sbin" "$prefix/lib"
# by rename: the program may be running
cp files/sbin/hookmux "$prefix/sbin/.hookmux.new" && mv -f "$prefix/sbin/.hookmux.new" "$prefix/sbin/hookmux"
cp -R files/share "$prefix/" && cp -R files/lib/* "$prefix/lib/"
sed -i "s|/usr/sbin/hookmux|$prefix/sbin/hookmux|" "$prefix"/lib/systemd/system/hookmux-*
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    systemd-tmpfiles --create hookmux.conf
fi
echo "hookmux is in $prefix/sbin. After an upgrade 'hookmux check' says what is left to do; else the next steps are:
    $prefix/sbin/hookmux install
    systemctl enable --now hookmux-queue.path hookmux-prune.path hookmux-prune.timer hookmux-entries.path hookmux-bypass.service"
