#!/bin/sh
lived
