#!/bin/sh
echo 'timeout: 30s' > FILE
