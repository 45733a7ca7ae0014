#!/bin/sh
hookmux install > .said 2>&1
