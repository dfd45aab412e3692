# Completion of sigsend for fish. Written by sigsend --generate fish.

function __sigsend_signals
    printf '%s\t%s\n' EXIT 'null signal: only checks whether one could be sent' HUP 'hangup; daemons reload their configuration' INT 'interrupt from the keyboard (Ctrl-C)' QUIT 'quit from the keyboard (Ctrl-\\)' ILL 'illegal instruction' TRAP 'breakpoint or trace trap' ABRT 'abort(3) was called' BUS 'bus error: bad memory access' FPE 'arithmetic error, such as division by zero' KILL 'kill; cannot be caught' USR1 'user-defined signal 1' SEGV 'invalid memory reference' USR2 'user-defined signal 2' PIPE 'write to a pipe without readers' ALRM 'timer of alarm(2) expired' TERM 'termination request' STKFLT 'coprocessor stack fault; unused' CHLD 'child exited, stopped or continued' CONT 'continue if stopped' STOP 'stop; cannot be caught' TSTP 'stop from the keyboard (Ctrl-Z)' TTIN 'background process read from the terminal' TTOU 'background process wrote to the terminal' URG 'urgent data on a socket' XCPU 'CPU time limit exceeded' XFSZ 'file size limit exceeded' VTALRM 'virtual timer expired' PROF 'profiling timer expired' WINCH 'terminal window size changed' IO 'I/O is possible' PWR 'power failure' SYS 'bad or forbidden system call' RTMIN 'realtime: queued, delivered in order of number' RTMIN+1 'realtime: queued, delivered in order of number' RTMIN+2 'realtime: queued, delivered in order of number' RTMIN+3 'realtime: queued, delivered in order of number' RTMIN+4 'realtime: queued, delivered in order of number' RTMIN+5 'realtime: queued, delivered in order of number' RTMIN+6 'realtime: queued, delivered in order of number' RTMIN+7 'realtime: queued, delivered in order of number' RTMIN+8 'realtime: queued, delivered in order of number' RTMIN+9 'realtime: queued, delivered in order of number' RTMIN+10 'realtime: queued, delivered in order of number' RTMIN+11 'realtime: queued, delivered in order of number' RTMIN+12 'realtime: queued, delivered in order of number' RTMIN+13 'realtime: queued, delivered in order of number' RTMIN+14 'realtime: queued, delivered in order of number' RTMIN+15 'realtime: queued, delivered in order of number' RTMAX-14 'realtime: queued, delivered in order of number' RTMAX-13 'realtime: queued, delivered in order of number' RTMAX-12 'realtime: queued, delivered in order of number' RTMAX-11 'realtime: queued, delivered in order of number' RTMAX-10 'realtime: queued, delivered in order of number' RTMAX-9 'realtime: queued, delivered in order of number' RTMAX-8 'realtime: queued, delivered in order of number' RTMAX-7 'realtime: queued, delivered in order of number' RTMAX-6 'realtime: queued, delivered in order of number' RTMAX-5 'realtime: queued, delivered in order of number' RTMAX-4 'realtime: queued, delivered in order of number' RTMAX-3 'realtime: queued, delivered in order of number' RTMAX-2 'realtime: queued, delivered in order of number' RTMAX-1 'realtime: queued, delivered in order of number' RTMAX 'realtime: queued, delivered in order of number'
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
complete -c sigsend -s s -s n -l signal -x -a '(__sigsend_signals)' -d 'signal to send, also as -SIGNAL [default: TERM]'
complete -c sigsend -s q -l queue -x -d 'queue the signal with a 32-bit VALUE'
complete -c sigsend -s l -l list -x -a '(__sigsend_signals)' -d 'list signal names, or translate each X'
complete -c sigsend -s L -d 'list signal numbers and names'
complete -c sigsend -s t -l table -d 'list signals with action and description'
complete -c sigsend -s a -l all -d 'NAME, :PORT, -f, --cwd: all users\' processes'
complete -c sigsend -s u -l user -x -a '(__fish_complete_users)' -d 'NAME, :PORT, -f, --cwd: processes of USER'
complete -c sigsend -s f -l full -x -d 'only processes with TEXT in the command line'
complete -c sigsend -l cwd -x -a '(__fish_complete_directories)' -d 'only processes that work in DIR or below'
complete -c sigsend -l pidfile -r -F -d 'read targets from FILE; - is standard input'
complete -c sigsend -l cgroup -x -a '(__fish_complete_directories; __sigsend_groups)' -d 'all processes in a control group or below'
complete -c sigsend -l tree -d 'each process and all its descendants'
complete -c sigsend -l mixed -d 'signal the targets, but KILL their whole trees'
complete -c sigsend -s p -l pid -d 'print the PIDs of the targets, signal nobody'
complete -c sigsend -l id -d 'print PID:INODE of the targets, signal nobody'
complete -c sigsend -s r -l require-handler -d 'signal only processes that catch the signal'
complete -c sigsend -l expect -x -a '(__sigsend_names)' -d 'refuse a process that is not NAME'
complete -c sigsend -l allow-stale -d 'accept a process newer than its pidfile'
complete -c sigsend -l alive -d 'ask who lives: status 0 all, 1 not all, 2 unclear'
complete -c sigsend -l dry-run -d 'say who would get which signal, signal nobody'
complete -c sigsend -s w -l wait -d 'return when every target is gone'
complete -c sigsend -l within -x -d 'return when all are gone, or after DURATION'
complete -c sigsend -l timeout -x -d 'send SIGNAL to what is left after DURATION'
complete -c sigsend -l grace -x -d 'TERM, then KILL after DURATION, and wait'
complete -c sigsend -s v -l verbose -d 'print a line for each thing that happens'
complete -c sigsend -l json -d 'print what happens as JSON Lines'
complete -c sigsend -s d -l show-process-state -x -a '(__sigsend_pids)' -d 'show pending, blocked and caught signals of PID'
complete -c sigsend -l generate -x -a 'man bash zsh fish' -d 'print the man page or a completion script'
complete -c sigsend -s h -d 'print a short help'
complete -c sigsend -l help -d 'print the help of all options'
complete -c sigsend -s V -l version -d 'print the version'
complete -c sigsend -n '__sigsend_wants_timeout_signal; or __sigsend_lists' -a '(__sigsend_signals)'
complete -c sigsend -n __sigsend_wants_target -a '(__sigsend_names; __sigsend_pids; __sigsend_ports)'
for __sigsend_signal in EXIT HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS RTMIN RTMIN+1 RTMIN+2 RTMIN+3 RTMIN+4 RTMIN+5 RTMIN+6 RTMIN+7 RTMIN+8 RTMIN+9 RTMIN+10 RTMIN+11 RTMIN+12 RTMIN+13 RTMIN+14 RTMIN+15 RTMAX-14 RTMAX-13 RTMAX-12 RTMAX-11 RTMAX-10 RTMAX-9 RTMAX-8 RTMAX-7 RTMAX-6 RTMAX-5 RTMAX-4 RTMAX-3 RTMAX-2 RTMAX-1 RTMAX
    complete -c sigsend -n __sigsend_types_signal -o $__sigsend_signal -d signal
end
set -e __sigsend_signal
