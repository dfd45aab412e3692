
# What the options of the command do not tell: values and targets.
use re
var sigsend-options~ = $edit:completion:arg-completer[sigsend]
set edit:completion:arg-completer[sigsend] = {|@words|
    fn signals { put @SIGNALS@ }
    fn processes {
        for dir [/proc/*[digit][nomatch-ok]] {
            try {
                put [(str:trim-prefix $dir /proc/) (str:trim-right (slurp < $dir/comm) "\n")]
            } catch { nop }
        }
    }
    fn pids {
        processes | each {|process|
            edit:complex-candidate $process[0] &display=(str:join ' ' $process)
        }
    }
    fn names {
        var seen = [&]
        processes | each {|process| set seen[$process[1]] = $true }
        keys $seen | each {|name| if (re:match '^[\pL_.][^/\pC]*$' $name) { put $name } }
    }
    var current previous = $words[-1] $words[-2]
    if (has-value [-s -n --signal -l --list] $previous) {
        signals
    } elif (and (> (count $words) 3) (eq $words[-3] --timeout)) {
        signals
    } elif (has-value [-d --show-process-state] $previous) {
        pids
    } elif (eq $previous --expect) {
        names
    } elif (eq $previous --pidfile) {
        edit:complete-filename $current
    } elif (eq $previous --generate) {
        put man bash zsh fish elvish powershell
    } elif (has-value [-q --queue --within --timeout --grace] $previous) {
        nop
    } elif (str:has-prefix $current -) {
        sigsend-options sigsend $current
        signals | each {|signal| put -$signal }
    } else {
        pids
        names
    }
}
