# Completion of sigsend for bash. Written by sigsend --generate bash.

_sigsend() {
    local cur=$2 prev=$3 signals="@SIGNALS@" options="@OPTIONS@"
    COMPREPLY=()
    # Readline splits --signal=TERM in three words.
    if [[ $cur == = ]]; then
        cur=
    elif [[ $prev == = ]]; then
        prev=${COMP_WORDS[COMP_CWORD-2]}
    fi
    if [[ " ${COMP_WORDS[*]:1:COMP_CWORD-1} " == *" -- "* ]]; then
        _sigsend_targets
        return
    fi
    # The second value of --timeout.
    if (( COMP_CWORD > 2 )) && [[ ${COMP_WORDS[COMP_CWORD-2]} == --timeout ]]; then
        prev=--signal
    fi
    case $prev in
        -l|--list) [[ $cur == -* ]] && prev= ;;
    esac
    case $prev in
        @SIGNAL@) COMPREPLY=( $(compgen -W "$signals" -- "$cur") ) ;;
        @PID@) _sigsend_processes pids ;;
        @NAME@) _sigsend_processes names ;;
        @FILE@)
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -f -- "$cur")
            ;;
        @WHAT@) COMPREPLY=( $(compgen -W "@PRODUCTS@" -- "$cur") ) ;;
        @NUMBER@) ;;
        *)
            case $cur in
                -) COMPREPLY=( $(compgen -W "$options" -- "$cur") ) ;;
                -[sn]?*) COMPREPLY=( $(compgen -P "${cur:0:2}" -W "$signals" -- "${cur:2}") ) ;;
                -*) COMPREPLY=( $(compgen -W "$options" -- "$cur") $(compgen -P - -W "$signals" -- "${cur#-}") ) ;;
                *) _sigsend_targets ;;
            esac
            ;;
    esac
}

_sigsend_targets() {
    case $cur in
        [0-9]*) _sigsend_processes pids ;;
        ?*) _sigsend_processes names ;;
        *) _sigsend_processes names; _sigsend_processes pids ;;
    esac
}

# Adds PIDs, or command names of the user's own processes, with -a of all. compgen -W must not see the names: it would
# run $(...) in a name that another user chose.
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

complete -o nosort -F _sigsend sigsend 2>/dev/null || complete -F _sigsend sigsend
