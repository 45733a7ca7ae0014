#!/bin/sh
# shellcheck disable=SC2154 # `text` is the command
# A host on which nothing has happened yet: guests, and scripts that pages name.
for guest in web1 web-1 win10 GUEST; do
    sum=$(printf %s "$guest" | cksum | cut -c 1-8)
    cat > "/etc/libvirt/qemu/$guest.xml" << END
<domain type='kvm'>
  <name>$guest</name>
  <uuid>3c8e1f52-9b0d-4a6e-8f57-${sum}abcd</uuid>
  <memory unit='KiB'>1048576</memory>
  <os><type>hvm</type></os>
  <devices>
    <disk type='file' device='disk'><source file='/var/lib/libvirt/images/$guest.qcow2'/><target dev='vda'/></disk>
    <interface type='network'><mac address='52:54:00:12:34:56'/><source network='default'/></interface>
  </devices>
</domain>
END
done

script() { # PATH TEXT
    mkdir -p "${1%/*}"
    printf '#!/bin/sh\n%s\n' "$2" > "$1"
    chmod 755 "$1"
}

registration() { # NAME TEXT
    mkdir -p /etc/libvirt/hooks/hooks.d
    printf '%b\n' "$2" > "/etc/libvirt/hooks/hooks.d/$1.yaml"
}

for name in guard dns notify register-dns hugepages cpu-isolate; do
    script "/usr/local/sbin/$name" :
done

# What has to happen before a command of the page.
before() { :; }

# A command of the page, with words that this host has in place of the page's.
words() { printf '%s\n' "$1"; }

# Types the command `text`. None takes long, but where it hangs.
types() {
    timeout -k 5 300 sh -c "$text" < /dev/null > .said 2>&1
}

# Types it at a terminal.
sees() {
    timeout -k 5 300 script -qec "stty cols 120 rows 60; $text" /dev/null < /dev/null > .said 2>&1
}

# Types what never ends by itself; it ends sooner only where it doesn't know what it is asked.
watches() {
    sh -c "exec ${text#sudo }" < /dev/null > .said 2>&1 &
    watch=$!
    sleep 0.5
    if kill "$watch" 2> /dev/null; then
        wait "$watch" || :
    else
        wait "$watch"
    fi
}

# Calls that are over: a hook at a gate, one that fails when the guest already runs.
lived() {
    hookmux install > .said 2>&1
    script /etc/libvirt/hooks/before_vm_start/10-hello 'echo hello'
    script /etc/libvirt/hooks/after_vm_start/10-net '[ -e /srv/net ] || { echo no network >&2; exit 1; }'
    registration HOOK 'events: after_vm_start\ncommand: /bin/true'
    registration gpu 'events: after_vm_stop\ncommand: /bin/true'
    virsh start web1 > .said
    : > /srv/net
}

# A detached hook that fails and is tried again, as long as there is no /srv/late.
job() {
    script /usr/local/sbin/late '[ -e /srv/late ]'
    registration late 'events: after_vm_stop\ncommand: /usr/local/sbin/late\nmode: detached\nretries: 50'
    rm -f /srv/late
    [ "$(virsh domstate web1)" = running ] || virsh start web1 > .said
    virsh shutdown web1 > .said
    until hookmux queue | grep -q late; do sleep 0.1; done
}

# A call that hangs, until somebody ends it.
hangs() {
    script /etc/libvirt/hooks/after_vm_launch/70-loop 'sleep 600'
    virsh destroy win10 > /dev/null 2>&1 || :
    virsh start win10 > /dev/null 2>&1 &
    until hookmux log | grep -q running; do sleep 0.1; done
}

# The id of the call that hangs.
hanging() { hookmux log | grep running | grep -o '[0-9A-Z]\{26\}' | tail -n 1; }
