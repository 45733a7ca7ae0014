# Functions about the entries in the hooks directory, for the scripts of the packages.
# packaging/build puts this text into each of them.
# $root is empty, or another root directory.
# shellcheck shell=sh disable=SC2154

hooks_dir=$root/etc/libvirt/hooks
hookmux=$root/usr/sbin/hookmux
unset HOOKMUX_HOOKS_DIR

drivers='daemon qemu lxc libxl network bhyve'

say() {
    echo "hookmux: $*" >&2
}

# Tells whether a file is a hookmux of any version: a program with hookmux's marker in it.
is_hookmux() {
    [ -f "$1" ] && [ "$(head -c 4 "$1" | tail -c 3)" = ELF ] \
        && LC_ALL=C grep -aq hookmux-hook-program "$1"
}

# Prints the entries that lead to hookmux, also those that lead to a hookmux that is gone.
entries() {
    for driver in $drivers; do
        for entry in "$hooks_dir/$driver" "$hooks_dir/$driver.d/50-hookmux"; do
            target=$(readlink "$entry") || target=
            case ${target##*/} in
            hookmux|"hookmux-$driver") echo "$entry" ;;
            *) if is_hookmux "$entry"; then echo "$entry"; fi ;;
            esac
        done
    done
}

# Renews the drivers' copies of the binary and the links to them. Versions that keep no copies
# have nothing to renew. The old copies work on where this fails, so it doesn't fail the package.
renew_entries() {
    case $("$hookmux" install --help 2> /dev/null) in
    *--renew*)
        if ! "$hookmux" install --renew ${root:+--hooks-dir "$hooks_dir"}; then
            say "libvirt goes on calling the version that was there before, because its copies could not be renewed"
            say "please mend what is said above, and run: hookmux install --renew"
        fi
        ;;
    esac
}

# Takes the entries away and puts adopted scripts back, before the binary goes: libvirt says
# nothing about a link that leads nowhere, and runs no hook.
take_entries_away() {
    if [ -x "$hookmux" ]; then
        if "$hookmux" uninstall ${root:+--hooks-dir "$hooks_dir"}; then
            return 0
        fi
        say "the package stays installed, because 'hookmux uninstall' failed"
        say "please mend what is said above, run 'hookmux uninstall', and remove the package again"
        say "(to keep hookmux after all: 'hookmux install' makes the entries again)"
    else
        if [ -z "$(entries)" ]; then
            return 0
        fi
        say "the package stays installed, because $hookmux is gone and these still lead to it:"
        entries >&2
        say "please install the package again (its binary takes them away), and then remove it"
    fi
    return 1
}

# Links the entries to /usr/sbin/hookmux and removes their copies: versions before 0.2.0 know of
# no copies, and would leave them in use and old. A copy that somebody has overwritten stays.
link_entries_to_binary() {
    for driver in $drivers; do
        entry=$hooks_dir/$driver
        copy=$root/usr/sbin/hookmux-$driver
        target=$(readlink "$entry") || target=
        if [ -e "$copy" ] && ! is_hookmux "$copy"; then
            say "$copy is not hookmux any more: it stays, and so does a link to it"
            continue
        fi
        if [ "${target##*/}" = "hookmux-$driver" ]; then
            # by rename: at no moment does libvirt find no entry
            if ! { ln -s /usr/sbin/hookmux "$entry.$$.new" && mv -fT "$entry.$$.new" "$entry"; }; then
                say "$entry stays a link to $copy, because it can't be replaced"
                continue
            fi
        fi
        rm -f "$copy"
    done
}
