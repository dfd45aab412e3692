# Completion of sigsend for elvish. Written by sigsend --generate elvish.
use re
use str

set edit:completion:arg-completer[sigsend] = {|@words|
    fn option {|text description|
        edit:complex-candidate $text &display=$text'  '$description
    }
    fn options {
@OPTIONS@    }
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
    if (has-value [@SIGNAL@] $previous) {
        signals
    } elif (and (> (count $words) 3) (eq $words[-3] --timeout)) {
        signals
    } elif (has-value [@PID@] $previous) {
        pids
    } elif (has-value [@NAME@] $previous) {
        names
    } elif (has-value [@FILE@ @DIR@] $previous) {
        edit:complete-filename $current
    } elif (has-value [@WHAT@] $previous) {
        put @PRODUCTS@
    } elif (has-value [@NUMBER@] $previous) {
        nop
    } elif (eq $current -) {
        options
    } elif (str:has-prefix $current -) {
        options
        signals | each {|signal| put -$signal }
    } else {
        pids
        names
    }
}
