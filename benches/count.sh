#!/usr/bin/env bash
# Checks costs that do not depend on timing: the system calls, instructions and memory of one run of sigsend.
# Usage: benches/count.sh [BINARY], where BINARY is a release build (target/release/sigsend).
# Needs strace, valgrind, readelf (binutils) and prlimit (util-linux). Fails when a limit is exceeded.
set -euo pipefail

binary=$(realpath -- "${1:-target/release/sigsend}")
many=100000

for tool in strace valgrind readelf prlimit; do
    command -v "$tool" >/dev/null || { echo "count.sh: $tool is missing" >&2; exit 2; }
done
scratch=$(mktemp -d)
trap 'rm -rf -- "$scratch"' EXIT

failed=0
# at_most LIMIT FIGURE TEXT: prints one line of the report.
at_most() {
    local verdict=ok
    (($2 <= $1)) || { verdict='TOO MUCH'; failed=1; }
    printf '%10d of %10d  %-8s  %s\n' "$2" "$1" "$verdict" "$3"
}

# Every line of the log is a call, but for the exit and for signals.
system_calls() {
    env -i "$(command -v strace)" -f -o "$scratch/calls" "$binary" "$@"
    grep -cE '^[0-9]+ +[a-z0-9_]+\(' "$scratch/calls"
}

# Counts user space only, with an empty environment, since libc reads every variable.
instructions() {
    env -i "$(command -v valgrind)" --tool=callgrind --callgrind-out-file=/dev/null "$binary" "$@" 2>"$scratch/callgrind"
    sed -n 's/.*Collected : \([0-9]*\).*/\1/p' "$scratch/callgrind"
}

# The target of every signal is this script, and the signal is the null one. Each digit of its PID
# costs 50 to 100 instructions; the limits leave room for the seven digits that a PID may have.
mapfile -t targets < <(yes "$$" | head -n "$many" || true)

# By the quick way, and by the parser, which `--` forces.
calls=$(system_calls -0 "$$")
one=$(instructions -0 "$$")
all=$(instructions -0 "${targets[@]}")
at_most 12 "$calls" 'system calls of -0 PID'
at_most 3000 "$one" 'instructions of -0 PID'
at_most 600 "$(((all - one) / (many - 1)))" "instructions for each of $many PIDs"
calls=$(system_calls -0 -- "$$")
one=$(instructions -0 -- "$$")
all=$(instructions -0 -- "${targets[@]}")
at_most 45 "$calls" 'system calls of -0 -- PID'
at_most 80000 "$one" 'instructions of -0 -- PID'
at_most 2900 "$(((all - one) / (many - 1)))" "instructions for each of $many PIDs after --"

# The limit on address space also bounds resident memory, and needs no sampling.
for form in '5 -0' '12 -0 --'; do
    read -ra words <<<"$form"
    if prlimit --as="$((words[0] << 20))" "$binary" "${words[@]:1}" "${targets[@]}"; then
        echo "'${words[*]:1}' and $many PIDs fit into ${words[0]} MiB of address space"
    else
        echo "'${words[*]:1}' and $many PIDs do not fit into ${words[0]} MiB of address space"
        failed=1
    fi
done

if readelf --program-headers --wide "$binary" | grep INTERP >/dev/null; then
    echo 'TOO MUCH: a program interpreter; RUSTFLAGS in the environment undoes the static build'
    failed=1
else
    echo 'no program interpreter'
fi
exit "$failed"
