#!/bin/bash
# What the scenarios are written with.

# A machine without hardware virtualisation is slow: limits of time are so many times the usual.
slow=5
HOOKS=/etc/libvirt/hooks
# where the hooks of a scenario write that they ran
SAID=/run/said
# scenarios use them as well
export HOOKS SAID UNITS

# Runs a function as a check: the first command in it that fails ends it. What it has printed is shown then.
check() { # WORDS FUNCTION [ARGUMENT…]
    local words=$1 started=$SECONDS status
    shift
    echo "begin $words"
    # not within `if` or `||`: there -e has no effect
    (set -eu; "$@") > /tmp/check 2>&1
    status=$?
    if [ "$status" = 0 ]; then
        echo "ok $words ($((SECONDS - started)) s)"
    else
        echo "FAIL $words ($((SECONDS - started)) s, status $status)"
        tail -n 40 /tmp/check | sed 's/^/    /'
        tidy
    fi
}

# After a check that failed: the next one finds no guest that runs, and nothing that was written before.
tidy() {
    local guest
    for guest in $(virsh list --name 2> /dev/null); do
        virsh destroy "$guest" > /dev/null 2>&1
    done
    rm -f "$SAID"
}

# The last line of a boot. Whoever cuts the power says it before.
the_end() {
    echo end
    sleep 2
}

cut_power() {
    echo 1 > /proc/sys/kernel/sysrq
    echo b > /proc/sysrq-trigger
    sleep 60
}

fail() {
    echo "$*"
    exit 1
}

expect() { # WHAT EXPECTED ACTUAL
    [ "$2" = "$3" ] || fail "$1: expected"$'\n'"$2"$'\n'"but there is"$'\n'"$3"
}

has() { # TEXT PART…
    local text=$1 part
    shift
    for part in "$@"; do
        case $text in
        *"$part"*) ;;
        *) fail "'$part' is not in:"$'\n'"$text" ;;
        esac
    done
}

lacks() { # TEXT PART
    case $1 in
    *"$2"*) fail "'$2' is in:"$'\n'"$1" ;;
    esac
}

# Waits until a command succeeds.
await() { # SECONDS COMMAND…
    local end=$((SECONDS + $1 * slow))
    shift
    until "$@" > /tmp/await 2>&1; do
        [ "$SECONDS" -lt "$end" ] || fail "in vain for too long: $*"$'\n'"$(cat /tmp/await)"
        sleep 0.5
    done
}

# Expects a command to fail, and prints what it says.
refused() { # COMMAND…
    local text
    if text=$("$@" 2>&1); then
        fail "this succeeded: $*"$'\n'"$text"
    fi
    echo "$text"
}

# What is run has a limit of time.
virsh() { timeout 240 virsh --quiet "$@"; }
hookmux() { timeout 120 /usr/sbin/hookmux "$@"; }
dpkg() { timeout 300 dpkg --force-unsafe-io "$@"; }
systemctl() { timeout 150 systemctl "$@"; }

# Waits for libvirtd, also after its death.
libvirt_answers() {
    await 24 timeout 30 virsh --quiet uri
}

daemon() {
    systemctl show --property=MainPID --value libvirtd.service
}

# Makes a script in the hooks directory; its text, without a first line, is on standard input.
hook() { # PATH BELOW THE HOOKS DIRECTORY
    mkdir -p "$(dirname "$HOOKS/$1")"
    { printf '#!/bin/sh\n'; cat; } > "$HOOKS/$1"
    chmod 755 "$HOOKS/$1"
}

# Hooks of events that write down that they ran.
follow() { # EVENT…
    local event
    for event in "$@"; do
        # shellcheck disable=SC2016 # the script's own variables
        echo 'echo "$HOOKMUX_EVENT $HOOKMUX_OBJECT" >> '"$SAID" | hook "$event/50-follow"
    done
}

# What hooks have written since the last time, on one line.
heard() {
    local text
    text=$(tr '\n' ' ' 2> /dev/null < "$SAID" || :)
    rm -f "$SAID"
    echo "${text% }"
}

# Defines a guest with next to nothing in it. It is started with --paused, and so needn't boot.
guest() { # NAME
    cat > "/tmp/$1.xml" << END
<domain type='qemu'>
  <name>$1</name>
  <memory unit='MiB'>32</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices><emulator>/usr/bin/qemu-system-x86_64</emulator><memballoon model='none'/></devices>
</domain>
END
    virsh define "/tmp/$1.xml" > /dev/null
}

starts() { # NAME
    virsh start --paused "$1" > /dev/null
    expect "state of $1" paused "$(virsh domstate "$1")"
}

stops() { # NAME
    virsh destroy "$1" > /dev/null
    expect "state of $1" 'shut off' "$(virsh domstate "$1")"
}

# The process of a guest that runs.
process() { # NAME
    cat "/run/libvirt/qemu/$1.pid"
}

# The journal since a time, of what is named.
journal() { # SINCE ARGUMENT…
    local since=$1
    shift
    timeout 60 journalctl --quiet --no-pager --since "@$since" "$@"
}

journal_has() { # SINCE TEXT ARGUMENT…
    local since=$1 text=$2
    shift 2
    journal "$since" "$@" | grep -qF -- "$text"
}

UNITS='hookmux-queue.path hookmux-prune.path hookmux-prune.timer hookmux-entries.path hookmux-bypass.service'

# --- checks that several boots have ---------------------------------------------------------------

libvirtd_runs_confined() {
    libvirt_answers
    has "$(cat "/proc/$(daemon)/attr/current")" 'libvirtd (enforce)'
}

# Each driver's entry leads to a copy of its own, which is the program that is installed.
entries_are_intact() { # DRIVER…
    local driver
    for driver in "$@"; do
        expect "entry of $driver" "/usr/sbin/hookmux-$driver" "$(readlink "$HOOKS/$driver")"
        cmp /usr/sbin/hookmux "/usr/sbin/hookmux-$driver"
    done
    expect 'what is said of entries' '' "$(hookmux check --entries 2>&1)"
}

check_has_nothing_to_say() {
    local text
    text=$(hookmux check 2>&1) || fail "$text"
    has "$text" 'nothing to complain about'
}

every_record_is_readable() {
    local id text count=0
    text=$(hookmux log -n 1000 2>&1)
    lacks "$text" 'broken'
    for id in $(hookmux log -n 1000 --output json | grep -o '"id": *"[^"]*"' | cut -d '"' -f 4); do
        hookmux show "$id" > /dev/null || fail "$id can't be shown"
        count=$((count + 1))
    done
    [ "$count" -gt 0 ] || fail 'there is no record'
    echo "$count records"
}
