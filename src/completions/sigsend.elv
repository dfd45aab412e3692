
# What the options of the command do not tell: values and targets.
var sigsend-options~ = $edit:completion:arg-completer[sigsend]
set edit:completion:arg-completer[sigsend] = {|@words|
    fn signals { put @SIGNALS@ }
    fn processes {|text|
        for dir [/proc/*[digit][nomatch-ok]] {
            try {
                var pid = (str:trim-prefix $dir /proc/)
                var name = (str:trim-right (slurp < $dir/comm) "\n")
                edit:complex-candidate (if (eq $text pid) { put $pid } else { put $name }) &display=$pid' '$name
            } catch { nop }
        }
    }
    var current previous = $words[-1] $words[-2]
    if (has-value [-s -n --signal -l --list] $previous) {
        signals
    } elif (and (> (count $words) 3) (eq $words[-3] --timeout)) {
        signals
    } elif (has-value [-d --show-process-state] $previous) {
        processes pid
    } elif (eq $previous --expect) {
        processes name
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
        processes pid
        processes name
    }
}
