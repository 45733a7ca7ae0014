#!/bin/sh
# Writes po/hookmux.pot, the template of translations, from the page's sources. It takes xgettext (package gettext).
set -eu
cd "$(dirname "$0")/.."
find src -name '*.js' | LC_ALL=C sort | xgettext --files-from=- --language=JavaScript --from-code=UTF-8 \
    --keyword= --keyword=_ --keyword=N_ --keyword=ngettext:1,2 --keyword=number:2,3 --no-wrap --sort-by-file --package-name=hookmux --output=po/hookmux.pot
# no time, so that the same sources make the same file
sed -i '/^"POT-Creation-Date:/d' po/hookmux.pot
