#!/bin/sh
# Removes what `make install` or install.sh has installed: uninstall.sh [--prefix /DIR]
# DESTDIR: another root directory, as for make.
set -eu
case $#:${1-} in
0:) prefix=/usr ;;
2:--prefix) prefix=$2 ;;
*) prefix=none ;;
esac
[ "${prefix#/}" != "$prefix" ] || { echo "usage: $0 [--prefix /DIR]" >&2; exit 2; }
root=${DESTDIR-}
top=$root$prefix
hooks_dir=$root/etc/libvirt/hooks
cd "$(dirname "$0")"
# shellcheck source=/dev/null
. ./entries.sh

# Prints the entries that lead to this prefix. Entries of another installation don't matter here.
linked() {
    entries | while IFS= read -r entry; do
        case $(readlink "$entry" || :) in
        ''|"$prefix"/sbin/hookmux*|"$(readlink -f "$top/sbin")"/hookmux*) echo "$entry" ;;
        esac
    done
}

if [ -n "$(linked)" ]; then
    say "nothing was removed, because libvirt calls hookmux by these:"
    linked >&2
    say "please take them away first: hookmux uninstall${root:+ --hooks-dir $hooks_dir}"
    exit 1
fi
rm -f "$top/sbin/hookmux" "$top"/share/man/man8/hookmux.8 "$top"/share/man/man8/hookmux-*.8 \
    "$top"/share/man/man5/hookmux.yaml.5 "$top"/share/man/man5/hookmux-*.5 "$top"/share/man/man7/hookmux-*.7 \
    "$top/share/bash-completion/completions/hookmux" "$top/share/zsh/site-functions/_hookmux" \
    "$top/share/fish/vendor_completions.d/hookmux.fish" "$top/lib/tmpfiles.d/hookmux.conf"
for unit in "$top"/lib/systemd/system/hookmux-*; do
    # an enabled unit has a link that would lead nowhere
    if [ -z "$root" ] && [ -d /run/systemd/system ] && [ -f "$unit" ]; then
        systemctl --quiet disable --now "${unit##*/}" || :
    fi
    rm -f "$unit"
done
rm -rf "$top/share/doc/hookmux" "$top/share/hookmux/contrib" "$top/share/hookmux/python" "$top/share/hookmux/selinux"
rmdir "$top/share/hookmux" 2> /dev/null || :
if [ -z "$root" ] && [ -d /run/systemd/system ]; then
    systemctl daemon-reload || :
fi
echo "hookmux was removed from $top; records and state in /var/lib/hookmux, and what is in $hooks_dir, stay"
