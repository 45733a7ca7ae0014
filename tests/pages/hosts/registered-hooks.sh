#!/bin/sh
rm /usr/local/sbin/guard
