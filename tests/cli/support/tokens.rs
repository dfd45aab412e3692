//! Tokens of command lines: valid ones, and for each kind the look-alikes, which must never be taken
//! for something valid. Each list is a text to be split by [`super::words`]; a token may be in it twice, to
//! be picked more often.

/// Names of signals, including aliases and realtime spellings.
pub const SIGNALS: &str = "\
    HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP \
    TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS EXIT NULL CLD IOT POLL RTMIN RTMAX \
    RTMIN+1 RTMIN+30 RTMAX-1 RTMAX-30 RT0 RT5 RT30";

pub const NOT_SIGNALS: &str = "\
    UNUSED 137 65 RTMIN3 +1 '' SIGSIGHUP RTMIN+31 RTMAX-31 RTMIN-1 RTMAX+1 RT31 RT RT-1 SIG SIG9 \
    'TERM ' ' TERM' '9 ' ' 9' -9 -0 0x9 9.0 4294967305 18446744073709551625 256 265 NOPE TER \
    TERMINATE KILL,TERM LOST INFO ٩ ＴＥＲＭ 1e1 -- RTMIN+ RTMIN+01 RTMIN++1 RTMIN+4294967297 hup\n";

pub const NOT_TARGETS: &str = "\
    - +1 00 -0 -00 -01 '-1 ' '0 ' ' 0' ' -1' ' -5' 0x7b 123abc 12,34 4294967295 4294967296 \
    2147483648 -2147483648 -2147483649 -4294967295 -4294967296 -4294967297 18446744073709551615 \
    --1 -+1 18446744073709551616 -18446744073709551615 1.0 1e0 %1 %% %n −1 １ 1: : :0 :65536 :080 \
    :http 1:0 0:1 1:-1 1:1:1 '1: 1' -1:1 99999999999999999999999999999999 0000000000 \u{a0}1 1\r \
    \t \n a/b /sbin/init a\tb -1\n 0\n --0 -0x1 ١ ' ' ' 5:5' 4294967297 99999999999999999999 -0123 \
    -5x -1.5 -1e5 1.5 1e5 @5 5: :5x 5:x 0:5 5:-5 5:5:5";

pub const DURATIONS: &str = "1ms 5ms 20ms 1ms 0ms 0s 10ms 15ms";

/// Invalid durations, and durations without the required unit.
pub const NOT_DURATIONS: &str = "\
    '' ms 5 0 -5ms +5ms 5x NaN inf 0x5ms 5msx ٣ms -- 5,ms s5 99999999999999999999s";

/// Spellings that the manual does not define.
pub const UNSPECIFIED_DURATIONS: &str = "\
    '5 ms' 1.5ms 1ms1ms 5MS 5millis 500us ' 5ms' '5ms ' 1ns";

/// Flags, and abbreviations as accepted by `getopt_long`; some are too short.
pub const FLAGS: &str = "\
    -a --all -r --require-handler --req -w --wait --wa -v --verbose --verb --json --j --tree \
    --tree --tree --tr --mixed --dry-run --dry --allow-stale --allow -va -av -vw -rv -aa --json -v -a";

/// Options that send nothing.
pub const QUESTIONS: &str = "\
    -p --pid --id --i --alive --ali -pa -ap --dry-run --dry-run --d --dry --alive --id";

/// Ambiguous abbreviations, and flags with a value.
pub const TOO_SHORT: &str = "\
    --al --t --w --ver --p --pi --s --g --a --v --pid=1 --all=yes --wait=5ms --json= --tree=1";

/// Listings, texts, unknown options, missing or unexpected values, invalid clusters.
pub const STRANGE: &str = "\
    -l --list -L -t --table -d -h --help -V --version -l9 -lTERM -l=9 --list=9 --li=KILL -lv \
    --generate --generate=man --gen=bash --generate=x --show-process-state --sh -LL -Lv -vl -vh \
    -x -9x --nope --signal -s -n -q --= --=9 --- -= -: '- 9' -é --Wait -s=9 -q=1 -vs9 -as -vsTERM \
    -vq5 -vn9 -qs -NOPE -Term -Tt -65 -128 -2147483647 -RTMIN3 -u -f --timeout=5ms --signal= \
    --queue= --expect= --within= --grace= --pidfile= -s9s -e -@ -W -A -0x9";

pub const QUEUED: &str = "0 7 -1 2147483647 -2147483648 123456";

pub const NOT_QUEUED: &str = "2147483648 '' x 4294967295 -2147483649 1.5 --1 '7 ' 0x7 + -";
