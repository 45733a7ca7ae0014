#!/bin/sh
lived
job

before() {
    case $1 in
    'hookmux queue --work'*) : > /srv/late ;;
    'hookmux queue --flush'*) job ;;
    esac
}

words() { printf '%s\n' "$1" | sed 's/ X / late /'; }
