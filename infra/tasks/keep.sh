#!/bin/sh
# The header, and the records (of one line each) that contain the text in the first argument.
set -eu
text=$1
IFS= read -r header
printf '%s\n' "$header"
while IFS= read -r record || [ -n "$record" ]; do
    case $record in
        *"$text"*) printf '%s\n' "$record" ;;
    esac
done
