#!/bin/sh
# Takes from each line what follows the text in the first argument.
set -eu
while IFS= read -r line || [ -n "$line" ]; do
    case $line in
        *"$1"*) printf '%s%s***\n' "${line%%"$1"*}" "$1" ;;
        *) printf '%s\n' "$line" ;;
    esac
done
