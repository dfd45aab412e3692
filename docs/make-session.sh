#!/usr/bin/env bash
# Makes session.svg: what a terminal shows while sigsend stops a process that ignores TERM, and afterwards.
# Usage: docs/make-session.sh [DIRECTORY OF sigsend]; needs tmux.
set -euo pipefail
cd "$(dirname "$0")"
bin=$(cd "${1:-../target/release}" && pwd)
[[ -x $bin/sigsend ]] || { echo "no sigsend in $bin" >&2; exit 1; }

dir=$(mktemp -d)
terminal() { tmux -S "$dir/socket" "$@"; }
trap 'terminal kill-server 2>/dev/null || :; rm -rf "$dir"' EXIT

cat >"$dir/stubborn" <<'SCRIPT'
#!/bin/sh
trap '' TERM
while :; do sleep 1; done
SCRIPT
chmod +x "$dir/stubborn"

# Waits until the terminal shows a text; at most 20 seconds.
shows() {
    for ((look = 0; look < 400; look++)); do
        terminal capture-pane -p >"$dir/screen"
        grep -qE "$1" "$dir/screen" && return
        sleep 0.05
    done
    echo "the terminal never showed: $1" >&2
    return 1
}
types() { terminal send-keys -l "$1"; terminal send-keys Enter; }
frame() { printf '@%s\n' "$1"; grep . "$dir/screen"; }

cd "$dir"
terminal -f /dev/null new-session -d -x 72 -y 16 "env PS1='\$ ' PATH='$bin:$PATH' TERM=screen bash --norc --noprofile"
shows '^\$'
types './stubborn &'
shows '^\[1\]'
types 'sigsend --verbose --grace 4s $!'
shows 'waiting for .*: 2 s'
frame 'after two seconds' >"$dir/frames"
shows 'was killed by KILL'
types 'echo $?'
shows '^0$'
frame 'after four seconds' >>"$dir/frames"
cd "$OLDPWD"

# Each frame is a window under its caption; prompts, the progress line and output differ in colour.
awk '
    function text(x, class, words) {
        gsub(/&/, "\\&amp;", words); gsub(/</, "\\&lt;", words); gsub(/>/, "\\&gt;", words)
        return sprintf("<text x=\"%d\" y=\"%d\" class=\"%s\" xml:space=\"preserve\">%s</text>\n", x, y, class, words)
    }
    function finish() {
        if (lines) {
            y += 12
            body = body sprintf("<rect x=\"10\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"6\"/>\n", top, width - 20, y - top) inside
            y += 14
        }
        inside = ""; lines = 0
    }
    BEGIN { width = 640; y = 4 }
    /^@/ { finish(); y += 20; body = body text(12, "caption", substr($0, 2)); top = y + 8; y = top + 6; next }
    {
        y += 20; lines++
        if (/^\$ /) inside = inside text(22, "typed", $0)
        else inside = inside text(22, /^waiting for/ ? "progress" : "output", $0)
    }
    END {
        finish()
        printf "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" role=\"img\">\n", width, y, width, y
        print "<title>sigsend --grace stops a process that ignores TERM</title>"
        print "<style>"
        print "text { font: 14px ui-monospace, \"DejaVu Sans Mono\", Menlo, Consolas, monospace; white-space: pre }"
        print "rect { fill: #1e2127 } .caption { font: italic 13px sans-serif; fill: #808890 }"
        print ".typed { fill: #98c379; font-weight: bold } .progress { fill: #e5c07b } .output { fill: #d7dae0 }"
        print "</style>"
        printf "%s</svg>\n", body
    }
' "$dir/frames" >session.svg
