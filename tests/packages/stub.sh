#!/bin/sh
# /stub in the private root: what a hookmux of version $1 does with the arguments that follow.
version=$1
shift
echo "hookmux $version $*" >> /calls
hooks_dir=/etc/libvirt/hooks
case "$*" in
'install --help')
    if [ "$version" != 0.1.0 ]; then echo '      --renew'; fi
    ;;
'install --renew')
    [ ! -e /renew-fails ] || { echo 'hookmux: no space left' >&2; exit 1; }
    for driver in qemu network; do
        if [ -L "$hooks_dir/$driver" ]; then
            cp /usr/sbin/hookmux "/usr/sbin/hookmux-$driver.new"
            mv "/usr/sbin/hookmux-$driver.new" "/usr/sbin/hookmux-$driver"
            ln -sfn "/usr/sbin/hookmux-$driver" "$hooks_dir/$driver"
        fi
    done
    ;;
uninstall)
    [ ! -e /uninstall-fails ] || { echo "hookmux: $hooks_dir/qemu is somebody else's by now" >&2; exit 1; }
    [ -x /usr/sbin/hookmux ] || echo 'hookmux was gone already' >> /calls
    for driver in qemu network; do
        rm -f "$hooks_dir/$driver" "/usr/sbin/hookmux-$driver"
    done
    ;;
esac
