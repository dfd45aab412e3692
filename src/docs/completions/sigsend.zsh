#compdef sigsend
# Completion of sigsend for zsh. Written by sigsend --generate zsh.

_sigsend() {
    local context curcontext="$curcontext" state line ret=1
    typeset -A opt_args
    _sigsend_old_form && ret=0
    _arguments -s -S -C : \
@OPTIONS@        '*:target:_sigsend_targets' && ret=0
    return ret
}

# The old form of naming a signal. A dash alone completes options only.
_sigsend_old_form() {
    (( CURRENT > 1 && ! ${words[(I)--]} )) && [[ $words[CURRENT] == -?* ]] || return
    # It is no option after an option that takes a value.
    [[ $words[CURRENT-1] == (@SIGNAL@|@PID@|@NAME@|@FILE@|@DIR@|@WHAT@|@NUMBER@) ]] && return 1
    local -a signals=(@SIGNALS@)
    local expl
    signals=(-$^signals)
    _wanted signals expl signal compadd -a signals
}

_sigsend_signals() {
    local -a signals=(@DESCRIBED@)
    _describe -t signals signal signals "$@"
}

_sigsend_pids() {
    local -a pids
    local dir name
    for dir in /proc/<->(N); do
        { read -r name <$dir/comm } 2>/dev/null && pids+=("${dir:t}:$name")
    done
    _describe -t processes process pids
}

# Command names of the user's own processes, with -a of all.
_sigsend_names() {
    local -aU names
    local -a dirs=(/proc/<->(NU))
    local dir name expl
    (( ${words[(I)-a]} || ${words[(I)--all]} || ${words[(I)--expect*]} )) && dirs=(/proc/<->(N))
    for dir in $dirs; do
        { IFS= read -r name <$dir/comm } 2>/dev/null || continue
        [[ $name == [[:alpha:]_.]* && $name != */* && $name != *[[:cntrl:]]* ]] && names+=("$name")
    done
    _wanted names expl 'command name' compadd "$@" -a names
}

# Ports on which a process listens.
_sigsend_ports() {
    local -aU ports
    local table address state _ expl
    for table in tcp tcp6 udp udp6; do
        while read -r _ address _ state _; do
            [[ $table$state == (tcp*0A|udp*07) ]] && ports+=(:$((16#${address##*:})))
        done </proc/net/$table
    done 2>/dev/null
    _wanted ports expl port compadd "$@" -a ports
}

# Control groups of processes as /proc/PID/cgroup shows them.
_sigsend_shown_groups() {
    local -aU groups
    local file line expl
    for file in /proc/<->/cgroup(N); do
        while IFS= read -r line; do
            [[ $line == 0::/?* ]] && groups+=("${line#0::}")
        done <$file
    done 2>/dev/null
    _wanted groups expl 'control group' compadd "$@" -a groups
}

_sigsend_groups() {
    _alternative 'directories:directory:_files -/' 'groups:control group:_sigsend_shown_groups'
}

_sigsend_targets() {
    if [[ $PREFIX == :* ]]; then
        _sigsend_ports
        return
    fi
    _alternative 'names:command name:_sigsend_names' 'processes:process:_sigsend_pids'
}

if [ "$funcstack[1]" = _sigsend ]; then
    _sigsend "$@"
else
    compdef _sigsend sigsend
fi
