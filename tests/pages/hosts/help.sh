#!/bin/sh
hookmux install > .said 2>&1
script /etc/libvirt/hooks/before_vm_start/10-net :
script /etc/libvirt/hooks/after_vm_start/20-fails 'exit 1'
virsh start web1 > .said
script /etc/libvirt/hooks/after_vm_start/20-fails :
virsh dumpxml web1 > web1.xml
printf 'events: after_vm_stop\ncommand: /bin/true\n' > guard.yaml
printf 'NAME = greet\nTYPE = state\nRESOURCE = VM\nON = RUNNING\nCOMMAND = /usr/bin/env\nARGUMENTS = true\n' > vm_done.tmpl
mkdir -p /var/lib/node_exporter

# The newest execution with this hook.
newest() { hookmux log -n 1 --hook "$1" | grep -o '[0-9A-Z]\{26\}'; }

before() {
    case $1 in
    'hookmux delete script'* | 'hookmux edit guard' | 'hookmux disable guard'*)
        hookmux add script /usr/local/sbin/guard --event before_vm_start --name guard > .said 2>&1
        ;;
    'hookmux undo --guest'*)
        registration hugepages 'events: before_vm_prepare\ncommand: /usr/local/sbin/hugepages\nundo: /usr/local/sbin/hugepages'
        virsh shutdown web1 > .said
        virsh start web1 > .said
        ;;
    'hookmux add guard.yaml'*) hookmux delete guard > .said ;;
    'hookmux stop'*) hangs ;;
    'hookmux delete guard') registration guard 'events: after_vm_stop\ncommand: /bin/true' ;;
    'hookmux uninstall')
        for guest in web1 win10; do hookmux undo --guest "$guest" --yes > .said 2>&1 || :; done
        ;;
    esac
}

words() {
    case $1 in
    'hookmux stop'*) printf 'hookmux stop %s --yes\n' "$(hanging)" ;;
    'hookmux retry 5MYQ7E'*) printf 'hookmux retry %s --hook 10-net --force\n' "$(newest 10-net)" ;;
    'hookmux undo --guest'*) printf '%s --yes\n' "$1" ;;
    'hookmux retry last') echo 'hookmux retry last --force' ;;
    *) printf '%s\n' "$1" ;;
    esac
}
