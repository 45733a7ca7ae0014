#!/bin/sh
mkdir -p /var/lib/prometheus/node-exporter
