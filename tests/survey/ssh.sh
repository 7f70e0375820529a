#!/bin/sh
# Stands in for ssh: runs the command here, with a host's recorded commands in front of PATH.
# $STANDIN_HOSTS holds a folder for each host: bin/ with its commands, or a file `fails`.
printf '%s\n' "$*" >>"$STANDIN_HOSTS/calls"
while [ $# -gt 0 ]; do
    case $1 in
        -o | -p | -l | -i | -F | -J | -E) shift 2 ;;
        -*) shift ;;
        *) break ;;
    esac
done
host=$1
shift
home=$STANDIN_HOSTS/$host
if [ ! -d "$home" ]; then
    echo "ssh: Could not resolve hostname $host: nodename nor servname provided, or not known" >&2
    exit 255
fi
case $(cat "$home/fails" 2>/dev/null) in
    denied) echo "ann@$host: Permission denied (publickey,password,keyboard-interactive)." >&2; exit 255 ;;
    refused) echo "ssh: connect to host $host port 22: Connection refused" >&2; exit 255 ;;
    hang) exec sleep 600 ;;
esac
# A login's greeting, which is no answer.
[ -f "$home/greeting" ] && cat "$home/greeting"
unset MLX_METAL_FAST_SYNCH
PATH=$home/bin:$PATH STANDIN_HOST=$home exec "${STANDIN_SHELL:-/bin/sh}" -c "$*"
