#!/bin/sh
# Stands in for any command: prints what is recorded for this command line, or for the command alone.
name=${0##*/}
line=$(printf '%s' "$name${*:+ $*}" | tr -c 'A-Za-z0-9.' _)
file=$STANDIN_HOST/answers/$line
[ -f "$file" ] || file=$STANDIN_HOST/answers/$name
if [ ! -f "$file" ]; then
    echo "$name: nothing recorded for $line" >&2
    exit 1
fi
case $(head -n 1 "$file") in
    '#hang') exec sleep 600 ;;
    '#ahead '*) echo $(($(/bin/date +%s) + $(cut -d ' ' -f 2 "$file"))) ;;
    *) cat "$file" ;;
esac
[ -s "$file" ]
