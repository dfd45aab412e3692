
# What the options of the command do not tell: signals as options, the second value of --timeout, processes.
function __sigsend_pids
    for dir in /proc/*
        set -l pid (string match -r '^/proc/(\d+)$' $dir)[2]
        and test -r $dir/comm
        and read -l name <$dir/comm
        and printf '%s\t%s\n' $pid (string escape --style=script --no-quoted -- $name)
    end
end

# Command names of one's own processes, with -a of everybody's.
function __sigsend_names
    set -l words (commandline -opc)
    for dir in /proc/*
        string match -qr '^/proc/\d+$' $dir
        and begin
            test -O $dir
            or contains -- -a $words
            or contains -- --all $words
            or contains -- --expect $words
        end
        and test -r $dir/comm
        and read -l name <$dir/comm
        and string match -r '^[\p{L}_.][^/\pC]*$' -- $name
    end | sort -u
end

function __sigsend_wants_timeout_signal
    set -l words (commandline -opc)
    test (count $words) -gt 2 -a "$words[-2]" = --timeout
end

complete -c sigsend -f
complete -c sigsend -s d -l show-process-state -x -a '(__sigsend_pids)'
complete -c sigsend -l expect -x -a '(__sigsend_names)'
complete -c sigsend -n __sigsend_wants_timeout_signal -a '@SIGNALS@'
complete -c sigsend -n 'not __sigsend_wants_timeout_signal' -a '(__sigsend_names; __sigsend_pids)'
for signal in @SIGNALS@
    complete -c sigsend -o $signal -d signal
end
