# Completion of sigsend for fish. Written by sigsend --generate fish.

function __sigsend_signals
    printf '%s\t%s\n' @DESCRIBED@
end

# PID and command name of each process. fish warns about a redirection from the file of a process that has exited.
function __sigsend_processes
    command grep -aHs '' /proc/*/comm | string replace -rf '^/proc/(\d+)/comm:(.*)$' '$1'\t'$2'
end

function __sigsend_pids
    for process in (__sigsend_processes)
        set -l fields (string split -m 1 \t -- $process)
        printf '%s\t%s\n' $fields[1] (string escape --style=script --no-quoted -- $fields[2])
    end
end

# Command names of the user's own processes, with -a and -u of all.
function __sigsend_names
    set -l words (commandline -opc)
    for process in (__sigsend_processes)
        set -l fields (string split -m 1 \t -- $process)
        begin
            test -O /proc/$fields[1]
            or string match -qr -- '^(-a|--all|-u|--user|--expect)$' $words
        end
        and string match -r '^[\p{L}_.][^/\pC]*$' -- $fields[2]
    end | sort -u
end

# Ports on which a process listens.
function __sigsend_ports
    string match -q ':*' -- (commandline -ct)
    and for table in tcp tcp6 udp udp6
        test -r /proc/net/$table
        and while read -l row
            set -l fields (string split -n ' ' -- $row)
            string match -qr '^(tcp6? 0A|udp6? 07 .*:0000$)' -- "$table $fields[4] $fields[3]"
            and printf ':%d%s\n' 0x(string split : -- $fields[2])[2] (string match -q 'udp*' $table; and echo /udp; or echo)
        end </proc/net/$table
    end | sort -u
end

# Control groups as /proc/PID/cgroup shows them, level by level.
function __sigsend_groups
    set -l typed (commandline -ct | string replace -r '^--cgroup=' '' | string trim -l -c /)
    for mount in (string match -rg '^\S+ (\S+) cgroup2 ' </proc/mounts)
        for directory in $mount/$typed*/
            string replace -- $mount '' $directory | string trim -r -c /
        end
    end
end

function __sigsend_wants_timeout_signal
    set -l words (commandline -opc)
    set -q words[3]
    and string match -q -- --timeout $words[-2]
end

# A dash alone completes options only.
function __sigsend_types_signal
    string match -qr -- '^-[^-]' (commandline -ct)
end

function __sigsend_lists
    string match -qr -- '^(-l|--list|-L|-t|--table)$' (commandline -opc)
end

function __sigsend_wants_target
    not __sigsend_wants_timeout_signal
    and not __sigsend_lists
end

complete -c sigsend -f
@OPTIONS@complete -c sigsend -n '__sigsend_wants_timeout_signal; or __sigsend_lists' -a '(__sigsend_signals)'
complete -c sigsend -n __sigsend_wants_target -a '(__sigsend_names; __sigsend_pids; __sigsend_ports)'
for __sigsend_signal in @SIGNALS@
    complete -c sigsend -n __sigsend_types_signal -o $__sigsend_signal -d signal
end
set -e __sigsend_signal
