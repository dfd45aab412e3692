# Answers what the options of the command do not tell. It sees the caller's cur, prev and opts; whether COMPREPLY is complete.
_sigsend_around() {
    local signals="@SIGNALS@"
    # Readline splits --signal=TERM in three.
    if [[ $cur == = ]]; then
        cur=
    elif [[ $prev == = ]]; then
        prev=${COMP_WORDS[COMP_CWORD-2]}
    fi
    if [[ " ${COMP_WORDS[*]:1:COMP_CWORD-1} " == *" -- "* ]]; then
        _sigsend_targets
        return 0
    fi
    if (( COMP_CWORD > 2 )) && [[ ${COMP_WORDS[COMP_CWORD-2]} == --timeout ]]; then
        COMPREPLY=( $(compgen -W "$signals" -- "$cur") )
        return 0
    fi
    case $prev in
        -d|--show-process-state) COMPREPLY=(); _sigsend_processes pids; return 0 ;;
        --expect) COMPREPLY=(); _sigsend_processes names; return 0 ;;
    esac
    if [[ $cur == -[sn]?* ]]; then
        COMPREPLY=( $(compgen -P "${cur:0:2}" -W "$signals" -- "${cur:2}") )
        return 0
    fi
    if [[ $cur == -* ]]; then
        COMPREPLY=( $(compgen -W "$opts" -- "$cur") $(compgen -P - -W "$signals" -- "${cur#-}") )
        return 0
    fi
    return 1
}

_sigsend_targets() {
    COMPREPLY=()
    case $cur in
        [0-9]*) _sigsend_processes pids ;;
        ?*) _sigsend_processes names ;;
        *) _sigsend_processes names; _sigsend_processes pids ;;
    esac
}

# Adds PIDs, or command names of one's own processes, with -a of everybody's. compgen -W must not see them: it would run $(...) in a
# name that somebody else chose.
_sigsend_processes() {
    local dir name quoted all=0
    [[ " ${COMP_WORDS[*]:1} " == *" "@(-a|--all|--expect)" "* ]] && all=1
    for dir in /proc/[0-9]*; do
        if [[ $1 == pids ]]; then
            [[ ${dir#/proc/} == "$cur"* ]] && COMPREPLY+=("${dir#/proc/}")
            continue
        fi
        [[ $all == 1 || -O $dir ]] && IFS= read -r name 2>/dev/null <"$dir/comm" || continue
        [[ $name == [[:alpha:]_.]* && $name != */* && $name != *[[:cntrl:]]* && $name == "$cur"* ]] || continue
        printf -v quoted %q "$name"
        [[ " ${COMPREPLY[*]} " == *" $quoted "* ]] || COMPREPLY+=("$quoted")
    done
}
