# Completion of sigsend for bash. Written by sigsend --generate bash.

_sigsend() {
    local cur=$2 prev=$3 signals="EXIT HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS RTMIN RTMIN+1 RTMIN+2 RTMIN+3 RTMIN+4 RTMIN+5 RTMIN+6 RTMIN+7 RTMIN+8 RTMIN+9 RTMIN+10 RTMIN+11 RTMIN+12 RTMIN+13 RTMIN+14 RTMIN+15 RTMAX-14 RTMAX-13 RTMAX-12 RTMAX-11 RTMAX-10 RTMAX-9 RTMAX-8 RTMAX-7 RTMAX-6 RTMAX-5 RTMAX-4 RTMAX-3 RTMAX-2 RTMAX-1 RTMAX" options="-s -n --signal -q --queue -l --list -L -t --table -a --all -u --user -f --full --cwd --pidfile --cgroup --tree --mixed -p --pid --id -r --require-handler --expect --allow-stale --alive --dry-run -w --wait --within --timeout --grace -v --verbose --json -d --show-process-state --generate -h --help -V --version"
    local before=" ${COMP_WORDS[*]:1:COMP_CWORD-1} "
    COMPREPLY=()
    # Readline splits --signal=TERM in three words.
    if [[ $cur == = ]]; then
        cur=
    elif [[ $prev == = ]]; then
        prev=${COMP_WORDS[COMP_CWORD-2]}
    fi
    if [[ $before == *" -- "* ]]; then
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
        -s|-n|--signal|-l|--list) COMPREPLY=( $(compgen -W "$signals" -- "$cur") ) ;;
        -d|--show-process-state) _sigsend_pids ;;
        --expect) _sigsend_names ;;
        -u|--user) COMPREPLY=( $(compgen -u -- "$cur") ) ;;
        --pidfile)
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -f -- "$cur")
            ;;
        --cwd)
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -d -- "$cur")
            ;;
        --cgroup) _sigsend_groups ;;
        --generate) COMPREPLY=( $(compgen -W "man bash zsh fish" -- "$cur") ) ;;
        -q|--queue|-f|--full|--within|--timeout|--grace) ;;
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
    if [[ $before == *" "@(-l|--list|-L|-t|--table)" "* ]]; then
        COMPREPLY=( $(compgen -W "$signals" -- "$cur") )
        return
    fi
    # Readline splits :8080 in two words.
    local typed=${COMP_LINE:0:COMP_POINT}
    typed=${typed##*[[:space:]]}
    if [[ $typed == :* ]]; then
        _sigsend_ports "${typed#:}"
        return
    fi
    case $cur in
        [0-9]*) _sigsend_pids ;;
        ?*) _sigsend_names ;;
        *) _sigsend_names; _sigsend_pids ;;
    esac
}

# Adds the ports on which a process listens.
_sigsend_ports() {
    local table address remote state port colon=:
    [[ $COMP_WORDBREAKS == *:* ]] && colon=
    for table in tcp tcp6 udp udp6; do
        while read -r _ address remote state _; do
            [[ $table$state$remote == @(tcp*0A|udp*07*:0000)* ]] || continue
            port=$colon$((16#${address##*:}))
            [[ $table == udp* ]] && port+=/udp
            [[ $port == "$colon$1"* && " ${COMPREPLY[*]} " != *" $port "* ]] && COMPREPLY+=("$port")
        done <"/proc/net/$table"
    done 2>/dev/null
}

# Adds control groups as /proc/PID/cgroup shows them, level by level, and directories. Other users chose the names of
# groups, too.
_sigsend_groups() {
    local mount type dir quoted
    while read -r _ mount type _; do
        [[ $type == cgroup2 ]] || continue
        for dir in "$mount/${cur#/}"*/; do
            [[ -d $dir && ( -z $cur || $cur == /* ) ]] || continue
            # A group with groups in it goes on.
            compgen -G "$dir*/" >/dev/null && compopt -o nospace 2>/dev/null || dir=${dir%/}
            printf -v quoted %q "${dir#"$mount"}"
            COMPREPLY+=("$quoted")
        done
    done </proc/mounts
    compopt -o plusdirs 2>/dev/null
}

# Adds PIDs. If there are several, each is shown with its command name, which is not inserted: it begins where the PIDs
# differ. Ways to complete that insert whole candidates get PIDs only.
_sigsend_pids() {
    local dir name pids=()
    for dir in /proc/[0-9]*; do
        [[ ${dir#/proc/} == "$cur"* ]] && pids+=("${dir#/proc/}")
    done
    if (( ${#pids[@]} + ${#COMPREPLY[@]} > 1 )) && [[ ${COMP_TYPE-9} != @(37|42) ]]; then
        for dir in "${!pids[@]}"; do
            IFS= read -r name 2>/dev/null <"/proc/${pids[dir]}/comm" && pids[dir]+=" (${name//[[:cntrl:]]/?})"
        done
    fi
    COMPREPLY+=("${pids[@]}")
}

# Adds command names of the user's own processes, with -a and -u of all. compgen -W must not see the names: it would run
# $(...) in a name that another user chose.
_sigsend_names() {
    local dir name quoted all=0
    [[ " ${COMP_WORDS[*]:1} " == *" "@(-a|--all|-u|--user|--expect)" "* ]] && all=1
    for dir in /proc/[0-9]*; do
        [[ $all == 1 || -O $dir ]] && IFS= read -r name 2>/dev/null <"$dir/comm" || continue
        [[ $name == [[:alpha:]_.]* && $name != */* && $name != *[[:cntrl:]]* && $name == "$cur"* ]] || continue
        printf -v quoted %q "$name"
        [[ " ${COMPREPLY[*]} " == *" $quoted "* ]] || COMPREPLY+=("$quoted")
    done
}

complete -o nosort -F _sigsend sigsend 2>/dev/null || complete -F _sigsend sigsend
