#!/bin/sh
# Makes the golden files: what a release of hookmux leaves on a host. See README.md.
#
#   make.sh HOOKMUX DIRECTORY
#
# HOOKMUX is the release's binary, DIRECTORY (empty or missing) takes the files.
# Run it as root. Needs flock(1), setsid(1), pgrep(1), python3.
set -eu
umask 022
hookmux=$(realpath "$1")
target=$(realpath -m "$2")
T=/tmp/hookmux-formats
uuid=3c8e1f52-9b0d-4a6e-8f57-2d41c6b7a9
unset XDG_STATE_HOME XDG_RUNTIME_DIR HOOKMUX_HOOKS_DIR
# nothing of the machine's own
export LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root

rm -rf "$T"
mkdir -p "$T/hooks/hooks.d" "$T/state" "$T/run" "$target"
for driver in daemon qemu network; do cp "$hookmux" "$T/hooks/$driver"; done

# --- a host --------------------------------------------------------------------------------------

cat >"$T/hooks/hookmux.yaml" <<END
# Every key of 0.1.0.
session: true
state_dir: $T/state
runtime_dir: $T/run
roots: [$T/more]
vdsm_hooks: false
save_dir: $T/save
timeout: 20s
total_timeout: 2m
kill_leftovers: false
trust: refuse
environment:
  COLOUR: blue
  COUNT: 3
environment_file: env
custom_properties: [colour, macspoof]
max_parallel: 4
record: all
retention:
  per_hook: 100
  age: 3650days
  size: 64 MiB
END
echo 'FROM_FILE=yes' >"$T/hooks/env"

script() {
    mkdir -p "$(dirname "$T/hooks/$1")"
    { echo '#!/bin/sh'; cat; } >"$T/hooks/$1"
    chmod 755 "$T/hooks/$1"
}
script before_vm_start/10-good <<'END'
echo "set up for $HOOKMUX_OBJECT"
END
script before_vm_start/20-edit <<'END'
case $HOOKMUX_OBJECT in edited) sed -i 's/<devices>/<devices><!-- edited -->/' "$_hook_domxml" ;; esac
END
script before_vm_start/30-fail <<'END'
case $HOOKMUX_OBJECT in
failing) echo 'no room' >&2; exit 3 ;;
slow) sleep 1000 ;;
left) sleep 3 & ;;
esac
END
script before_vm_dehibernate/10-refuse <<'END'
case $HOOKMUX_OBJECT in held*) echo 'the disk is gone' >&2; exit 4 ;; esac
END
script after_vm_launch/50-watch <<'END'
exit 0
END
script before_network_start/10-net <<'END'
echo net
END
script hold.sh <<END
while [ -e $T/hold ]; do sleep 0.1; done
END

cat >"$T/hooks/hooks.d/every-key.yaml" <<END
# Every key of 0.1.0 that goes together with \`mode: wait\`.
events: [before_vm_start, after_vm_launch]
calls: [qemu/prepare/begin, "*/stopped"]
command: [/bin/true, --quick]
args: ["\$NAME", "\$UUID", 5]
args_stdin: false
weight: 7
check: [/usr/bin/test, -e, /]
rollback: [/bin/true, --undo]
when:
  driver: [qemu, lxc]
  name: ["every-*", "!every-test"]
  uuid: "*"
  title: "*"
  reason: "*"
  origin: [fresh, restore]
  network: lan
  property: {macspoof: "true"}
timeout: 30s
on_failure: fail
run_as: {user: root, group: root}
style: vdsm
stdin: json
mode: wait
enabled: true
parallel: true
lock: gpu
filter: false
kill_leftovers: true
limits: {nofile: 64, as: 1000000000, cpu: 5, nproc: 900}
nice: 5
environment: {COLOUR: red}
environment_file: env
remote: false
END
cat >"$T/hooks/hooks.d/in-libvirts-style.yaml" <<END
calls: network/start
command: /bin/cat
style: libvirt
on_failure: warn
timeout: 0
run_as: root:root
enabled: false
END
cat >"$T/hooks/hooks.d/detached.yaml" <<END
events: after_vm_launch
command: [hold.sh]
args: ["\$NAME"]
stdin: xml
when: {name: job-*}
mode: detached
retries: 2
max_parallel: 1
run_as: root:root
limits: {nofile: 64, as: 1000000000}
nice: 5
lock: gpu
timeout: 60s
END
cat >"$T/hooks/hooks.d/detached-failing.yaml" <<END
events: after_vm_reconnect
command: [/bin/false]
mode: detached
retries: 5
END
mkdir -p "$T/bin"
ln -s "$hookmux" "$T/bin/hookmux"
cp /bin/sh "$T/bin/virtqemud"
cli() { "$T/bin/hookmux" --hooks-dir "$T/hooks" "$@"; }
cli add script "$T/hooks/after_vm_launch/50-watch" --manual --event after_vm_stop --name added \
    --when name=web-* --check /bin/true --timeout 10s >/dev/null

guest() { # NAME NUMBER, on standard output
    cat <<END
<domain type='kvm'>
  <name>$1</name>
  <uuid>$uuid$2</uuid>
  <metadata>
    <hookmux:properties xmlns:hookmux="urn:hookmux:properties:1">
      <hookmux:property name="colour">green</hookmux:property>
    </hookmux:properties>
  </metadata>
  <devices>
    <graphics type='vnc' passwd='secret'/>
  </devices>
</domain>
END
}
call() { # NAME NUMBER OPERATION SUB EXTRA
    guest "$1" "$2" | "$T/hooks/qemu" "$1" "$3" "$4" "${5:--}" || true
}
idle() { # until no mover and no worker is there any more
    for lock in "$T/run/records/.mover" "$T/run/records/.moving" "$T/state/queue/.worker"; do
        if [ -e "$lock" ]; then flock "$lock" true; fi
    done
}
locked() { # LOCK COMMAND...: nobody starts a mover (or a worker) meanwhile
    mkdir -p "$(dirname "$1")"
    flock "$1" true
    (
        flock 9
        shift
        "$@" 9>&-
    ) 9>>"$1"
}

# --- records that are done, in the state directory ----------------------------------------------

"$T/bin/virtqemud" -c "'$T/hooks/daemon' - start - start; true" </dev/null
call good 01 prepare begin
call edited 02 prepare begin
call failing 03 prepare begin
sed -i 's/^timeout: 20s/timeout: 1s/' "$T/hooks/hookmux.yaml"
call slow 04 prepare begin
sed -i 's/^timeout: 1s/timeout: 20s/' "$T/hooks/hookmux.yaml"
call left 05 prepare begin
printf '<network><name>lan</name><uuid>%s06</uuid></network>\n' "$uuid" |
    "$T/hooks/network" lan start begin -
idle
guest by-hand 07 >"$T/guest.xml"
cli run qemu by-hand prepare --xml "$T/guest.xml" >/dev/null
idle
failed=$(cli log --output json | python3 -c '
import json, sys
text = sys.stdin.read()
try:
    rows = json.loads(text)
    rows = rows if isinstance(rows, list) else rows["executions"]
except ValueError:
    rows = [json.loads(line) for line in text.splitlines()]
print([row["id"] for row in rows if row["object"] == "failing"][0])')
cli retry --force "$failed" >/dev/null 2>&1 || true
idle

# --- an execution whose process died ------------------------------------------------------------

sed -i 's/^timeout: 20s/timeout: 0/' "$T/hooks/hookmux.yaml"
dies() { # NUMBER
    guest slow "$1" | setsid "$T/hooks/qemu" slow prepare begin - &
    until pgrep -f "^/bin/sh $T/hooks/before_vm_start/30-fail" >/dev/null; do sleep 0.1; done
    for pid in $(pgrep -f "^$T/hooks/qemu slow prepare"); do kill -9 "$pid"; done
    for pid in $(pgrep -f "^/bin/sh $T/hooks/before_vm_start/30-fail"); do
        kill -9 "-$pid"
    done
    wait || true
}
dies 08
cli prune >/dev/null # now it is lost
sed -i 's/^timeout: 0/timeout: 20s/' "$T/hooks/hookmux.yaml"
idle

# --- jobs ---------------------------------------------------------------------------------------

touch "$T/hold"
call job-done 09 started begin # its worker is at it
until ls "$T"/state/queue/*.json >/dev/null 2>&1; do sleep 0.1; done
until pgrep -f "$T/hooks/hold.sh" >/dev/null; do sleep 0.1; done
rm "$T/hold"
idle
while ls "$T"/state/queue/*.json >/dev/null 2>&1; do sleep 0.1; done
idle # its record has the cause `queue`
call job-failed 10 reconnect begin # fails, and is tried again
until grep -q '"last":"' "$T"/state/queue/*.json 2>/dev/null; do sleep 0.05; done
for pid in $(pgrep -f "^hookmux --hooks-dir $T/hooks worker"); do kill -9 "$pid"; done
touch "$T/hold"
cp "$T"/state/queue/*.json "$T/failed-once"
name=$(basename "$T"/state/queue/*.json)
rm "$T"/state/queue/*.json
call job-under-way 11 started begin
until grep -q '"run":"' "$T"/state/queue/*.json 2>/dev/null; do sleep 0.05; done
for pid in $(pgrep -f "^hookmux --hooks-dir $T/hooks worker"); do kill -9 "$pid"; done
for pid in $(pgrep -f "^/bin/sh $T/hooks/hold.sh"); do kill -9 "$pid"; done
mv "$T/failed-once" "$T/state/queue/$name"
new() {
    call job-new 12 started begin
    sleep 1 # the worker that it starts sees the lock, and ends
}
locked "$T/state/queue/.waiting" new
idle

# --- counters, and records that wait in the runtime directory -----------------------------------

cli prune >/dev/null
idle
waiting() {
    call waiting 13 prepare begin
    # guests: one that runs, one of which only the name is known
    call runs 14 prepare begin
    call runs 14 started begin
    "$T/hooks/qemu" by-name prepare begin - </dev/null || true
    # what waits for `prepare`: an origin, a failure, and both of a guest known by its name alone
    call incoming 15 migrate begin
    call restored 16 restore begin
    call held 17 restore begin
    "$T/hooks/qemu" held-by-name restore begin - </dev/null || true
    sed -i 's/^timeout: 20s/timeout: 0/' "$T/hooks/hookmux.yaml"
    dies 18
    sed -i 's/^timeout: 0/timeout: 20s/' "$T/hooks/hookmux.yaml"
}
locked "$T/run/records/.mover" waiting # so that they stay where they are
rm -f "$T/hold" "$T/guest.xml"

# --- the emergency switch -----------------------------------------------------------------------

mkdir "$target/bypass"
switch() { # FILE WORDS...
    file=$1
    shift
    cli bypass on "$@" >/dev/null
    mv "$T/hooks/hookmux.bypass" "$target/bypass/$file.json"
}
switch host
switch host-for-a-time --for 100years
switch guest --guest web1
switch guest-for-a-time --guest web1 --for 100years
cli bypass on --guest web1 >/dev/null
switch both --guest web2 --for 100years
cli bypass on >/dev/null
locked "$T/run/records/.mover" call passed-over 19 prepare begin
cli bypass off >/dev/null

idle
rm -rf "$target/host"
mkdir "$target/host"
rm -f "$T/hooks/daemon" "$T/hooks/qemu" "$T/hooks/network"
cp -a "$T/hooks" "$T/state" "$T/run" "$target/host/"
rm -rf "$T"
