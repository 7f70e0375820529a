# Prints by which interface a Mac would reach each of some addresses. As facts.sh, it comes on standard
# input, with `mark=...` and `peers=...` (addresses with spaces between) in front of it.

PATH=$PATH:/usr/bin:/bin:/usr/sbin:/sbin
LC_ALL=C
export PATH LC_ALL

for peer in $peers; do
    printf '@@%s begin route %s\n' "$mark" "$peer"
    status=127
    if command -v route >/dev/null 2>&1; then
        route -n get "$peer" </dev/null 2>/dev/null
        status=$?
    fi
    printf '\n@@%s end route %s %s\n' "$mark" "$peer" "$status"
done
