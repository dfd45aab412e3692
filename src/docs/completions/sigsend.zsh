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
    [[ $words[CURRENT-1] == (@SIGNAL@|@PID@|@NAME@|@USER@|@FILE@|@DIR@|@GROUP@|@WHAT@|@NOTHING@) ]] && return 1
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

# Command names of the user's own processes, with -a and -u of all.
_sigsend_names() {
    local -aU names
    local -a dirs=(/proc/<->(NU))
    local dir name expl
    (( ${words[(I)(-a|--all|-u|--user|--expect*)]} )) && dirs=(/proc/<->(N))
    for dir in $dirs; do
        { IFS= read -r name <$dir/comm } 2>/dev/null || continue
        [[ $name == [[:alpha:]_.]* && $name != */* && $name != *[[:cntrl:]]* ]] && names+=("$name")
    done
    _wanted names expl 'command name' compadd "$@" -a names
}

# Ports on which a process listens.
_sigsend_ports() {
    local -aU ports
    local table address remote state _ expl port
    for table in tcp tcp6 udp udp6; do
        while read -r _ address remote state _; do
            [[ $table$state$remote == (tcp*0A|udp*07*:0000)* ]] || continue
            port=:$((16#${address##*:}))
            [[ $table == udp* ]] && port+=/udp
            ports+=($port)
        done </proc/net/$table
    done 2>/dev/null
    _wanted ports expl port compadd "$@" -a ports
}

# Control groups as /proc/PID/cgroup shows them, level by level.
_sigsend_shown_groups() {
    local -aU groups
    local mount type dir _ expl
    while read -r _ mount type _; do
        [[ $type == cgroup2 ]] || continue
        for dir in $mount/${PREFIX#/}*(N/); do
            groups+=("${dir#$mount}")
        done
    done </proc/mounts
    # The slash goes again if nothing follows it.
    _wanted groups expl 'control group' compadd "$@" -q -S / -a groups
}

_sigsend_groups() {
    _alternative 'directories:directory:_files -/' 'groups:control group:_sigsend_shown_groups'
}

_sigsend_targets() {
    if (( ${words[(I)(-l*|--list*|-L|-t|--table)]} )); then
        _sigsend_signals
    elif [[ $PREFIX == :* ]]; then
        _sigsend_ports
    else
        _alternative 'names:command name:_sigsend_names' 'processes:process:_sigsend_pids'
    fi
}

if [ "$funcstack[1]" = _sigsend ]; then
    _sigsend "$@"
else
    compdef _sigsend sigsend
fi
