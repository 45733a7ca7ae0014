#!/bin/sh
lived
job

before() {
    case $1 in
    'hookmux stop'*) hangs ;;
    esac
}

words() {
    case $1 in
    'hookmux stop'*) printf 'hookmux stop %s --yes\n' "$(hanging)" ;;
    *) printf '%s\n' "$1" | sed 's/ ID / last /' ;;
    esac
}
