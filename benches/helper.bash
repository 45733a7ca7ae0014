#!/bin/bash
# A per-guest dispatcher of the usual shape: look up GUEST/OPERATION/SUB beside the script,
# list what is executable there with find, run it through eval. For comparison only.
guest=$1
operation=$2
sub=$3
tree="$(dirname "$0")/qemu.d/$guest/$operation/$sub"

if [[ -d $tree ]]; then
    scripts=$(find -L "$tree" -maxdepth 1 -type f -executable | sort)
    while IFS= read -r script; do
        if [[ -n $script ]]; then
            eval "\"$script\"" '"$@"' || exit
        fi
    done <<< "$scripts"
elif [[ -x $tree ]]; then
    eval "\"$tree\"" '"$@"'
fi
