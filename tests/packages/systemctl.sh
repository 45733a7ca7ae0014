#!/bin/sh
# systemctl in the private root: it writes down what it is asked, and enables what presets would.
echo "systemctl $*" >> /calls
case " $* " in
*' is-enabled '*)
    for unit in "$@"; do :; done
    if [ -L "/etc/systemd/system/${unit##*.}s.target.wants/$unit" ]; then echo enabled; else echo disabled; exit 1; fi
    ;;
*' preset '*)
    for unit in "$@"; do
        case $unit in
        hookmux-*)
            wants=/etc/systemd/system/${unit##*.}s.target.wants
            mkdir -p "$wants"
            ln -sf "/usr/lib/systemd/system/$unit" "$wants/$unit"
            ;;
        esac
    done
    ;;
esac
