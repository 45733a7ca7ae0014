#!/bin/sh
printf 'NAME = greet\nTYPE = state\nRESOURCE = VM\nON = RUNNING\nCOMMAND = /usr/bin/env\nARGUMENTS = true\n' > hook.tmpl
