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
        @DIR@) _sigsend_groups ;;
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
    # Readline splits :8080 in two words.
    local typed=${COMP_LINE:0:COMP_POINT}
    typed=${typed##*[[:space:]]}
    if [[ $typed == :* ]]; then
        _sigsend_ports "${typed#:}"
        return
    fi
    case $cur in
        [0-9]*) _sigsend_processes pids ;;
        ?*) _sigsend_processes names ;;
        *) _sigsend_processes names; _sigsend_processes pids ;;
    esac
}

# Adds the ports on which a process listens.
_sigsend_ports() {
    local table address state port colon=:
    [[ $COMP_WORDBREAKS == *:* ]] && colon=
    for table in tcp tcp6 udp udp6; do
        while read -r _ address _ state _; do
            [[ $table$state == @(tcp*0A|udp*07) ]] || continue
            port=$colon$((16#${address##*:}))
            [[ $port == "$colon$1"* && " ${COMPREPLY[*]} " != *" $port "* ]] && COMPREPLY+=("$port")
        done <"/proc/net/$table"
    done 2>/dev/null
}

# Adds the control groups of processes as /proc/PID/cgroup shows them, and directories. Other users chose the names of
# groups, too.
_sigsend_groups() {
    local file line quoted
    for file in /proc/[0-9]*/cgroup; do
        while IFS= read -r line; do
            [[ $line == 0::/?* && ${line#0::} == "$cur"* ]] || continue
            printf -v quoted %q "${line#0::}"
            [[ " ${COMPREPLY[*]} " == *" $quoted "* ]] || COMPREPLY+=("$quoted")
        done <"$file"
    done 2>/dev/null
    compopt -o plusdirs 2>/dev/null
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
