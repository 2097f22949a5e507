#!/bin/sh
# The numbers of this chunk and their squares, as CSV. Nothing but the shell's own words: the system of a function has
# little else.
set -eu
number=$FANFOLD_OFFSET
end=$((FANFOLD_OFFSET + FANFOLD_LIMIT))
echo 'number,square'
while [ "$number" -lt "$end" ]; do
    echo "$number,$((number * number))"
    number=$((number + 1))
done
