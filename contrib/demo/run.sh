#!/bin/sh
# Leads a guest's whole life through hookmux in a private hooks directory: no root, no libvirt,
# nothing outside a temporary directory. `make demo`, or with HOOKMUX=path/to/hookmux.
#
# captures/ holds what libvirt 11.3.0 gave its hook on standard input for a real guest, byte for byte.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
if [ -z "${HOOKMUX:-}" ]; then
    make -C "$here/../.." build
    HOOKMUX=$here/../../target/x86_64-unknown-linux-musl/release/hookmux
fi
hookmux=$(realpath "$HOOKMUX")
captures=$here/captures
guest=vm # the name that the captures carry

umask 022 # hookmux refuses scripts that others may write
place=$(mktemp -d "${TMPDIR:-/tmp}/hookmux-demo.XXXXXX")
# the process that moves records lives a few seconds longer than the calls
trap 'rm -rf "$place" 2> /dev/null || { sleep 1; rm -rf "$place"; }' EXIT
hooks=$place/hooks
mkdir "$hooks"
surprises=0

title() {
    printf '\n== %s\n' "$*"
}

# script PATH: standard input becomes an executable script there.
script() {
    mkdir -p "$hooks/${1%/*}"
    cat > "$hooks/$1"
    chmod 755 "$hooks/$1"
}

# show COMMAND...: runs hookmux as a person would, and shows the command.
show() {
    printf '\n$ hookmux --hooks-dir HOOKS %s\n' "$*"
    "$hookmux" --hooks-dir "$hooks" "$@" || surprise "hookmux $1 ended with $?"
}

surprise() {
    surprises=$((surprises + 1))
    printf '   !! %s\n' "$*"
}

# call STATUS OPERATION SUB EXTRA: calls hookmux as libvirt does; STATUS is what libvirt should get.
call() {
    printf '\nlibvirt calls: qemu %s %s %s %s\n' "$guest" "$2" "$3" "$4"
    : > "$place/said"
    status=0
    env -i LC_ALL=C PATH="$PATH" "$hooks/qemu" "$guest" "$2" "$3" "$4" \
        < "$captures/qemu.$2.$3.xml" > "$place/stdout" 2> "$place/stderr" || status=$?
    sed 's/^/   hook    /' "$place/said"
    sed 's/^/   stderr  /' "$place/stderr"
    printf '   status  %s\n' "$status"
    [ "$status" = "$1" ] || surprise "expected was status $1"
    [ ! -s "$place/stdout" ] || surprise "hookmux wrote to standard output"
}

# ---- the hooks directory ---------------------------------------------------------------------

ln -s "$hookmux" "$hooks/qemu"
cat > "$hooks/hookmux.yaml" <<END
session: true                # run hooks although this is not root
roots: []                    # and look for them in this directory only
state_dir: $place/state
runtime_dir: $place/run
END

# What these scripts print would stay with hookmux: they tell the demo through a file instead.
script before_vm_start/10-memory <<'END'
#!/bin/sh
memory=$(sed -n "s:.*<memory unit='KiB'>\([0-9]*\)<.*:\1:p" "$_hook_domxml")
echo "$HOOKMUX_EVENT: $HOOKMUX_OBJECT is about to start and wants $memory KiB" >> "${0%/hooks/*}/said"
END

script qemu.d/$guest/prepare/begin/10-devices <<'END'
#!/bin/sh
echo "per-guest tree: called with '$*' and $(wc -c) bytes on standard input" >> "${0%/hooks/*}/said"
END

script after_vm_start/50-firewall <<'END'
#!/bin/sh
tap=$(sed -n "s:.*<target dev='\(vnet[0-9]*\)'.*:\1:p" "$_hook_domxml")
echo "$HOOKMUX_EVENT: a $HOOKMUX_ORIGIN start, rules for $tap go up" >> "${0%/hooks/*}/said"
END

# libvirt's document at this moment has lost the tap's name; the one of the start still has it.
script after_vm_stop/50-firewall <<'END'
#!/bin/sh
[ -n "${HOOKMUX_STARTED_XML:-}" ] || exit 0 # it never ran
tap=$(sed -n "s:.*<target dev='\(vnet[0-9]*\)'.*:\1:p" "$HOOKMUX_STARTED_XML")
echo "$HOOKMUX_EVENT: rules for $tap come down" >> "${0%/hooks/*}/said"
END

script after_vm_destroy/90-ledger <<'END'
#!/bin/sh
echo "$HOOKMUX_EVENT: all is released, reason: $HOOKMUX_REASON" >> "${0%/hooks/*}/said"
END

title "A private hooks directory: $hooks"
(cd "$hooks" && find . -type f -o -type l) | LC_ALL=C sort | sed 's:^\./:   :'

title 'What is there, and what one call would run'
show list
show plan qemu "$guest" prepare begin --xml "$captures/qemu.prepare.begin.xml"

title "A guest's life"
call 0 prepare begin -
call 0 start begin -
call 0 started begin -
call 0 stopped end -
call 0 release end shutdown

title 'A hook says no before the guest runs: libvirt is told who, and why'
script before_vm_launch/20-licence <<'END'
#!/bin/sh
echo "all 10 licences are taken" >&2
exit 3
END
call 0 prepare begin -
call 3 start begin -
call 0 stopped end -
call 0 release end failed
rm -r "$hooks/before_vm_launch"

title 'A hook fails when the guest runs already: the guest lives'
script after_vm_start/60-metrics <<'END'
#!/bin/sh
echo "no route to the metrics host" >&2
exit 1
END
call 0 prepare begin -
call 0 start begin -
call 0 started begin -

if "$hookmux" help 2> /dev/null | grep -Eq '^ +log( |$)'; then
    title 'What hookmux has kept of all this'
    show log
fi

printf '\n'
if [ "$surprises" != 0 ]; then
    echo "Not all went as it should: see the lines marked !! above."
    exit 1
fi
echo 'That is all of it: one binary as the hook, scripts in directories. Nothing is left behind.'
