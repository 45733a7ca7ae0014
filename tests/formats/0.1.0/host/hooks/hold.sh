#!/bin/sh
while [ -e /tmp/hookmux-formats/hold ]; do sleep 0.1; done
