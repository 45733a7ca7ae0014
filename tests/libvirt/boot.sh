# Pid 1 of a private libvirt host, in fresh mount, pid, uts and (but for a neighbour) network
# namespaces. Everything that libvirt keeps comes from the directory given as $1; $2 is the name of
# the host, $3 says whether control groups are to be seen. Ends, and the host with it, when its
# stdin ends.
set -eu
base=$1 name=$2 cgroups=$3
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
umask 022

# The tests reach into the host by this pid, which only the outer /proc knows.
read -r pid _ </proc/self/stat

mount --make-rprivate /
mount -t proc proc /proc
hostname "$name"

if [ "$cgroups" = hidden ]; then
    # Guests of two hosts have the same names and ids, and would share one group.
    umount -R -l /sys/fs/cgroup
else
    # libvirt's LXC driver starts no container on a hybrid hierarchy.
    umount /sys/fs/cgroup/unified /sys/fs/cgroup/systemd 2>/dev/null || true
fi

mkdir -p "$base/etc/hooks" "$base/lib/libvirt/dnsmasq" "$base/lib/hookmux"
mkdir -p "$base/log" "$base/cache" "$base/run"
cat >"$base/etc/qemu.conf" <<END
user = "root"
group = "root"
security_driver = "none"
namespaces = []
END
uuid=$(cat /proc/sys/kernel/random/uuid)
for daemon in libvirtd virtqemud virtnetworkd virtlxcd; do
    cat >"$base/etc/$daemon.conf" <<END
host_uuid = "$uuid"
auth_unix_ro = "none"
auth_unix_rw = "none"
log_outputs = "3:file:/var/log/libvirt/$daemon.log"
END
done

mkdir -p /etc/libvirt /var/log/libvirt /var/cache/libvirt
mount --bind "$base/etc" /etc/libvirt
mount --bind "$base/log" /var/log/libvirt
mount --bind "$base/cache" /var/cache/libvirt
# The sockets lie in the host's directory, where a neighbour finds them.
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/libvirt /run/lock /run/hookmux-bin
mount --bind "$base/run" /run/libvirt
mount --bind "$base/bin" /run/hookmux-bin
# Every program of /usr/sbin is there by a link to where it was, in a directory of this host's own.
mkdir -p /run/real-sbin /run/own-sbin
mount --bind /usr/sbin /run/real-sbin
for program in /usr/sbin/*; do ln -s "/run/real-sbin/${program##*/}" /run/own-sbin/; done
rm -f /run/own-sbin/hookmux*
mount --bind /run/own-sbin /usr/sbin
# Last: the base may lie below it.
mount --bind "$base/lib" /var/lib

ip link set lo up
echo "$pid"

# A shell that waits for a child reaps what is left to pid 1, as libvirt's guests are. Hence not the
# last command: the shell would become it.
cat >/dev/null
exit 0
