//! The errors that the manual page of each system call lists, and others that kernels and sandboxes
//! return.

use crate::support::rows;

/// System calls and the errors to inject into them; `E` is left out.
const LISTED: &str = "
    mmap mremap        | NOMEM
    munmap             | INVAL
    madvise            | AGAIN FAULT INVAL IO NOMEM
    clock_gettime clock_getres | ACCES FAULT INVAL NODEV NOTSUP
    clone clone3       | AGAIN INVAL NOMEM NOSPC PERM
    clock_nanosleep nanosleep | INTR
    close              | INTR IO NOSPC DQUOT
    epoll_create1      | INVAL MFILE NFILE NOMEM
    epoll_ctl          | BADF EXIST INVAL LOOP NOENT NOMEM NOSPC PERM
    epoll_wait epoll_pwait | BADF FAULT INTR INVAL
    fcntl              | ACCES AGAIN BADF INTR INVAL MFILE NOLCK PERM
    fstatfs statfs     | BADF FAULT INTR IO NOMEM NOSYS OVERFLOW
    fstat lstat newfstatat stat statx | ACCES BADF FAULT INVAL LOOP NAMETOOLONG NOENT NOMEM NOTDIR OVERFLOW IO
    getdents64         | BADF FAULT INVAL NOENT NOTDIR IO
    getrandom          | INTR INVAL NOSYS
    getpgid getsid     | PERM SRCH
    ioctl              | BADF FAULT INVAL NOTTY
    kcmp               | BADF FAULT INVAL NOSYS PERM SRCH
    kill               | INVAL PERM SRCH
    lseek              | BADF INVAL NXIO OVERFLOW SPIPE
    mprotect           | ACCES INVAL NOMEM
    open openat        | ACCES AGAIN BADF BUSY DQUOT EXIST FAULT FBIG INTR INVAL ISDIR LOOP MFILE NAMETOOLONG NFILE \
        NODEV NOENT NOMEM NOSPC NOTDIR NXIO OPNOTSUPP OVERFLOW PERM ROFS TXTBSY IO SRCH
    pidfd_open         | INVAL MFILE NFILE NODEV NOMEM SRCH NOENT NOSYS PERM
    pidfd_send_signal  | BADF INVAL PERM SRCH NOSYS
    poll ppoll         | FAULT INTR INVAL NOMEM
    prlimit64 getrlimit setrlimit | FAULT INVAL PERM SRCH
    read pread64       | AGAIN BADF FAULT INTR INVAL IO ISDIR SRCH
    readlink readlinkat | ACCES FAULT INVAL IO LOOP NAMETOOLONG NOENT NOMEM NOTDIR SRCH
    rt_sigaction rt_sigprocmask | FAULT INVAL
    rt_sigqueueinfo    | AGAIN INVAL PERM SRCH
    socket             | ACCES AFNOSUPPORT INVAL MFILE NFILE NOBUFS NOMEM PERM PROTONOSUPPORT
    bind connect getsockopt setsockopt | ACCES BADF INVAL NOMEM NOPROTOOPT
    sendto sendmsg     | ACCES AGAIN BADF CONNREFUSED INTR INVAL MSGSIZE NOBUFS NOENT NOMEM OPNOTSUPP PERM
    recvfrom recvmsg   | AGAIN BADF FAULT INTR INVAL NOBUFS NOMEM
    signalfd4          | BADF INVAL MFILE NFILE NODEV NOMEM
    write writev       | AGAIN BADF DESTADDRREQ DQUOT FAULT FBIG INTR INVAL IO NOSPC PERM PIPE
";

/// The errors to inject into a system call; none for calls that cannot fail.
///
/// Not EBADF for close(2): other code would close our descriptors, and Rust's library aborts on it.
/// Nor other errors of getrandom(2), which do not happen: with `GRND_INSECURE` there is no EAGAIN,
/// and the buffer is valid, so there is no EFAULT.
pub fn listed(call: &str) -> Vec<&'static str> {
    let of_call = rows(LISTED).find(|[calls, _]| calls.split(' ').any(|known| known == call));
    of_call.map_or_else(Vec::new, |[_, errors]| errors.split_whitespace().collect())
}

/// System calls that always succeed, so that there is nothing to inject. futex: no kernel loses a
/// wake-up. brk(2) has no error: the kernel returns the old end, which strace cannot know.
pub const INFALLIBLE: &str =
    "brk futex getpid getppid getpgrp getuid geteuid gettid exit_group sigaltstack";

/// Whether an error may persist: a resource that is exhausted is exhausted for the next call, too.
/// Not for calls that would also affect standard error, the signals that continue stopped
/// processes, or memory allocation, without which the program cannot go on.
pub fn may_last(call: &str, error: &str) -> bool {
    !["close", "mmap", "pidfd_send_signal", "write"].contains(&call)
        && ["MFILE", "NFILE", "NOMEM", "NOSYS", "IO", "NOSPC"].contains(&error)
}
