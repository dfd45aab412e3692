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

# Command names of the user's own processes, with -a of all.
function __sigsend_names
    set -l words (commandline -opc)
    for process in (__sigsend_processes)
        set -l fields (string split -m 1 \t -- $process)
        begin
            test -O /proc/$fields[1]
            or contains -- -a $words
            or contains -- --all $words
            or contains -- --expect $words
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
            string match -qr '^(tcp6? 0A|udp6? 07)$' -- "$table $fields[4]"
            and printf ':%d\n' 0x(string split : -- $fields[2])[2]
        end </proc/net/$table
    end | sort -u
end

# Control groups of processes as /proc/PID/cgroup shows them.
function __sigsend_groups
    command cat /proc/*/cgroup 2>/dev/null | string match -rg '^0::(/.+)$' | sort -u
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

complete -c sigsend -f
@OPTIONS@complete -c sigsend -n __sigsend_wants_timeout_signal -a '(__sigsend_signals)'
complete -c sigsend -n 'not __sigsend_wants_timeout_signal' -a '(__sigsend_names; __sigsend_pids; __sigsend_ports)'
for signal in @SIGNALS@
    complete -c sigsend -n __sigsend_types_signal -o $signal -d signal
end
