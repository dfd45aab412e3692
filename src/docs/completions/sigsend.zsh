# The old form of naming a signal, which the options of the command do not tell.
_sigsend_old_form() {
    (( CURRENT > 1 && ! ${words[(I)--]} )) && [[ $words[CURRENT] == -* ]] || return
    local -a signals=(@SIGNALS@)
    local expl
    signals=(-$^signals)
    _wanted signals expl signal compadd -a signals
}

_sigsend_signals() {
    local -a signals=(@SIGNALS@)
    local expl
    _wanted signals expl signal compadd "$@" -a signals
}

_sigsend_pids() {
    local -a pids
    local dir name
    for dir in /proc/<->(N); do
        { read -r name <$dir/comm } 2>/dev/null && pids+=("${dir:t}:$name")
    done
    _describe -t processes process pids
}

# Command names of one's own processes, with -a of everybody's.
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

_sigsend_targets() {
    _alternative 'names:command name:_sigsend_names' 'processes:process:_sigsend_pids'
}
