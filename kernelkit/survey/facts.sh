# Prints what kernelkit wants to know about a machine: one section per command, with its exit status.
#
# It arrives on the standard input of `/bin/sh -s`, with these lines in front of it:
#   mark=...      a random word, so that no command's output can be taken for a section's end
#   python=...    the Python that ranks would run on, or empty to leave it out
#
# POSIX sh alone: macOS has bash 3.2 and BSD's tools, Linux often dash. A command that is not there is a
# section with status 127. No command may read standard input, since the rest of this script comes there.

# Behind what is there: without a login, /sbin and the firewall's own folder are often missing.
PATH=$PATH:/usr/bin:/bin:/usr/sbin:/sbin:/usr/libexec/ApplicationFirewall
LC_ALL=C
export PATH LC_ALL

# One command that never ends (RDMA's have been seen to) must not cost all the others' answers.
limited() {
    if command -v timeout >/dev/null 2>&1; then
        timeout 15 "$@"
    elif command -v perl >/dev/null 2>&1; then
        perl -e 'alarm shift; exec @ARGV or exit 127' 15 "$@"
    else
        "$@"
    fi
}

begin() {
    printf '@@%s begin %s\n' "$mark" "$1"
}

# The first newline ends a last line that has none.
finish() {
    printf '\n@@%s end %s %s\n' "$mark" "$1" "$2"
}

section() {
    name=$1
    shift
    begin "$name"
    status=127
    if command -v "$1" >/dev/null 2>&1; then
        limited "$@" </dev/null 2>/dev/null
        status=$?
    fi
    finish "$name" "$status"
}

of_a_mac() {
    section version sw_vers
    section sysctl sysctl hw.model machdep.cpu.brand_string hw.memsize iogpu.wired_limit_mb
    section vm_stat vm_stat
    section hardware_ports networksetup -listallhardwareports
    section ifconfig ifconfig -a
    section thunderbolt system_profiler SPThunderboltDataType -json
    section rdma_ctl rdma_ctl status
    section ibv_devices ibv_devices
    section ibv_devinfo ibv_devinfo
    section firewall socketfilterfw --getglobalstate
    section fast_synch printenv MLX_METAL_FAST_SYNCH
    section fast_synch_launchd launchctl getenv MLX_METAL_FAST_SYNCH
}

of_linux() {
    section version cat /etc/os-release
    section cpu sed -n '/^model name/{p;q;}' /proc/cpuinfo
    section meminfo cat /proc/meminfo
    section gpus nvidia-smi --query-gpu=name,memory.total --format=csv,noheader
    section gpu_links nvidia-smi topo -m
    begin links
    for link in /sys/class/net/*; do
        [ -e "$link/operstate" ] || continue
        kind=ethernet
        [ "$(cat "$link/type" 2>/dev/null)" = 772 ] && kind=loopback
        [ -d "$link/bridge" ] && kind=bridge
        if [ -d "$link/wireless" ] || [ -d "$link/phy80211" ]; then kind=wifi; fi
        state=$(cat "$link/operstate" 2>/dev/null)
        # A link that is down has no speed, and says so as an error.
        speed=$(cat "$link/speed" 2>/dev/null) || speed=-1
        printf '%s %s %s %s\n' "${link##*/}" "$kind" "${state:-unknown}" "${speed:--1}"
    done
    finish links 0
    section ip ip -o addr
    section ifconfig ifconfig -a
}

versions='
import json, sys
from importlib.metadata import PackageNotFoundError, version
found = {}
for name in ("mlx", "mlx-lm", "kernelkit"):
    try:
        found[name] = version(name)
    except PackageNotFoundError:
        pass
python = ".".join(map(str, sys.version_info[:3]))
print(json.dumps({"executable": sys.executable, "python": python, "packages": found}))
'

section clock date +%s
section system uname -s
case $(uname -s) in
    Darwin) of_a_mac ;;
    Linux) of_linux ;;
esac
section disk df -P -k "$HOME"
case $python in
    '') ;;
    '~/'*) section python "$HOME/${python#??}" -c "$versions" ;;
    *) section python "$python" -c "$versions" ;;
esac
section clock_again date +%s
