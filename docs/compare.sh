#!/usr/bin/env bash
# Runs the command lines of the tables in docs/comparison.md and prints who got which signal.
# Usage: docs/compare.sh KILL...              e.g. docs/compare.sh /usr/bin/kill 'busybox kill' target/release/sigsend
#        docs/compare.sh --select COMMAND...  e.g. docs/compare.sh --select 'pkill -x named' 'killall named' \
#                                                  'fuser -k lockfile' "$PWD/target/release/sigsend named"
# Each call of a KILL runs in a PID namespace of its own with three recorders: the victim, whose number is PID; a bystander in
# another session; a neighbour in the caller's process group. Each COMMAND runs in one with two processes called `named` that
# hold `lockfile` open, one of another user, and runs again as the child of a shell called `named`. Needs root and unshare(1).
# shellcheck disable=SC2016 # what is quoted is expanded by another shell
set -euo pipefail

# Inside the namespace: $1 is the directory for the records, $2 the command.
if [[ ${1-} == --inside ]]; then
    dir=$2
    # A recorder writes down each signal that can be caught; KILL shows in its wait status.
    recorder='for s in HUP INT QUIT TERM USR1; do trap "echo $s >>$0" $s; done; echo ready >"$0.ready"; while :; do sleep 0.05; done'
    setsid bash -c "$recorder" "$dir/victim" & victim=$!
    setsid bash -c "$recorder" "$dir/bystander" & bystander=$!
    for name in victim bystander; do until [[ -e $dir/$name.ready ]]; do sleep 0.01; done; done
    # The caller leads a group of its own, in which the neighbour is.
    set +e
    setsid bash -c "
        bash -c '$recorder' $dir/neighbour & neighbour=\$!
        until [[ -e $dir/neighbour.ready ]]; do sleep 0.01; done
        trap '' HUP INT QUIT TERM USR1
        PID=$victim
        $3 >$dir/out 2>&1
        echo \$? >$dir/status
        sleep 0.2
        command kill -0 \$neighbour 2>/dev/null || echo KILL >>$dir/neighbour
        command kill -KILL \$neighbour
    " >/dev/null 2>&1
    # The builtin of bash: this is the namespace's process 1, and both are its children.
    kill -0 "$victim" 2>/dev/null || echo KILL >>"$dir/victim"
    kill -0 "$bystander" 2>/dev/null || echo KILL >>"$dir/bystander"
    exit 0
fi

# Inside the namespace: $2 is the command.
if [[ ${1-} == --select-inside ]]; then
    cp "$(type -P sleep)" named
    exec 9>lockfile
    ./named 60 & own=$!
    setpriv --reuid 65534 --clear-groups ./named 60 & foreign=$!
    exec 9>&-
    until [[ $(cat /proc/$own/comm /proc/$foreign/comm) == $'named\nnamed' ]]; do sleep 0.01; done
    set +e
    $2 >/dev/null 2>&1 9>&-
    echo "status $?"
    sleep 0.2
    for victim in own foreign; do
        if kill -0 "${!victim}" 2>/dev/null; then echo "$victim process: lives"; else echo "$victim process: signalled"; fi
    done
    kill -KILL $own $foreign 2>/dev/null
    wait
    cp "$(type -P bash)" named
    ./named -c 'exec 9>lockfile; $0 >/dev/null 2>&1; true' "$2"
    (($? > 128)) && echo 'calling shell: signalled' || echo 'calling shell: lives'
    $2 >/dev/null 2>&1
    echo "status $? if there is none"
    exit 0
fi

if [[ ${1-} == --select ]]; then
    shift
    script=$(realpath "$0")
    for command in "$@"; do
        dir=$(mktemp -d)
        echo "== $command"
        chmod 755 "$dir"
        (cd "$dir" && unshare --pid --fork --mount-proc --kill-child bash "$script" --select-inside "$command" 2>/dev/null)
        rm -rf -- "$dir"
    done
    exit 0
fi

lines=('-TERM 4294967295' '-TERM 4294967296' "-TERM ''" '-TERM 00' '-TERM -0' '-TERM -- -0' '-TERM $PID 12abc' '$PID -9' '$PID -HUP'
    '-HUP -TERM $PID' '-TERM $PID 999' '-l 137')
for kill in "$@"; do
    echo "== $kill"
    for line in "${lines[@]}"; do
        dir=$(mktemp -d)
        unshare --pid --fork --mount-proc --kill-child bash "$0" --inside "$dir" "$kill $line"
        told=$(for who in victim bystander neighbour; do
            [[ -e $dir/$who ]] && echo "$who: $(sort -u "$dir/$who" | paste -sd ' ')"
        done | paste -sd ';' || true)
        printf '%-22s status %-4s %s | %s\n' "$line" "$(cat "$dir/status" 2>/dev/null || echo none)" "${told:-nobody}" "$(head -n 1 "$dir/out" 2>/dev/null || true)"
        rm -rf -- "$dir"
    done
done
