//! The errors that the manual page of each system call lists, and others that kernels and sandboxes
//! return.

/// The errors to inject into a system call; none for calls that cannot fail.
pub fn listed(call: &str) -> &'static [&'static str] {
    match call {
        "mmap" | "mremap" => &["ENOMEM"],
        "munmap" => &["EINVAL"],
        "madvise" => &["EAGAIN", "EFAULT", "EINVAL", "EIO", "ENOMEM"],
        "clock_gettime" | "clock_getres" => &["EACCES", "EFAULT", "EINVAL", "ENODEV", "ENOTSUP"],
        "clone" | "clone3" => &["EAGAIN", "EINVAL", "ENOMEM", "ENOSPC", "EPERM"],
        "clock_nanosleep" | "nanosleep" => &["EINTR"],
        // EBADF would mean that other code closes our descriptors. Rust's library aborts on it on
        // purpose.
        "close" => &["EINTR", "EIO", "ENOSPC", "EDQUOT"],
        "epoll_create1" => &["EINVAL", "EMFILE", "ENFILE", "ENOMEM"],
        "epoll_ctl" => &[
            "EBADF", "EEXIST", "EINVAL", "ELOOP", "ENOENT", "ENOMEM", "ENOSPC", "EPERM",
        ],
        "epoll_wait" | "epoll_pwait" => &["EBADF", "EFAULT", "EINTR", "EINVAL"],
        "fcntl" => &[
            "EACCES", "EAGAIN", "EBADF", "EINTR", "EINVAL", "EMFILE", "ENOLCK", "EPERM",
        ],
        "fstatfs" | "statfs" => &[
            "EBADF",
            "EFAULT",
            "EINTR",
            "EIO",
            "ENOMEM",
            "ENOSYS",
            "EOVERFLOW",
        ],
        "fstat" | "lstat" | "newfstatat" | "stat" | "statx" => &[
            "EACCES",
            "EBADF",
            "EFAULT",
            "EINVAL",
            "ELOOP",
            "ENAMETOOLONG",
            "ENOENT",
            "ENOMEM",
            "ENOTDIR",
            "EOVERFLOW",
            "EIO",
        ],
        "getdents64" => &["EBADF", "EFAULT", "EINVAL", "ENOENT", "ENOTDIR", "EIO"],
        // Rust's library panics on other errors, which do not happen: with GRND_INSECURE there is
        // no EAGAIN, and the buffer is valid, so there is no EFAULT.
        "getrandom" => &["EINTR", "EINVAL", "ENOSYS"],
        "getpgid" | "getsid" => &["EPERM", "ESRCH"],
        "ioctl" => &["EBADF", "EFAULT", "EINVAL", "ENOTTY"],
        "kcmp" => &["EBADF", "EFAULT", "EINVAL", "ENOSYS", "EPERM", "ESRCH"],
        "kill" => &["EINVAL", "EPERM", "ESRCH"],
        "lseek" => &["EBADF", "EINVAL", "ENXIO", "EOVERFLOW", "ESPIPE"],
        "mprotect" => &["EACCES", "EINVAL", "ENOMEM"],
        "open" | "openat" => &[
            "EACCES",
            "EAGAIN",
            "EBADF",
            "EBUSY",
            "EDQUOT",
            "EEXIST",
            "EFAULT",
            "EFBIG",
            "EINTR",
            "EINVAL",
            "EISDIR",
            "ELOOP",
            "EMFILE",
            "ENAMETOOLONG",
            "ENFILE",
            "ENODEV",
            "ENOENT",
            "ENOMEM",
            "ENOSPC",
            "ENOTDIR",
            "ENXIO",
            "EOPNOTSUPP",
            "EOVERFLOW",
            "EPERM",
            "EROFS",
            "ETXTBSY",
            "EIO",
            "ESRCH",
        ],
        "pidfd_open" => &[
            "EINVAL", "EMFILE", "ENFILE", "ENODEV", "ENOMEM", "ESRCH", "ENOENT", "ENOSYS", "EPERM",
        ],
        "pidfd_send_signal" => &["EBADF", "EINVAL", "EPERM", "ESRCH", "ENOSYS"],
        "poll" | "ppoll" => &["EFAULT", "EINTR", "EINVAL", "ENOMEM"],
        "prlimit64" | "getrlimit" | "setrlimit" => &["EFAULT", "EINVAL", "EPERM", "ESRCH"],
        "read" | "pread64" => &[
            "EAGAIN", "EBADF", "EFAULT", "EINTR", "EINVAL", "EIO", "EISDIR", "ESRCH",
        ],
        "readlink" | "readlinkat" => &[
            "EACCES",
            "EFAULT",
            "EINVAL",
            "EIO",
            "ELOOP",
            "ENAMETOOLONG",
            "ENOENT",
            "ENOMEM",
            "ENOTDIR",
            "ESRCH",
        ],
        "rt_sigaction" | "rt_sigprocmask" => &["EFAULT", "EINVAL"],
        "rt_sigqueueinfo" => &["EAGAIN", "EINVAL", "EPERM", "ESRCH"],
        "socket" => &[
            "EACCES",
            "EAFNOSUPPORT",
            "EINVAL",
            "EMFILE",
            "ENFILE",
            "ENOBUFS",
            "ENOMEM",
            "EPERM",
            "EPROTONOSUPPORT",
        ],
        "bind" | "connect" | "getsockopt" | "setsockopt" => {
            &["EACCES", "EBADF", "EINVAL", "ENOMEM", "ENOPROTOOPT"]
        }
        "sendto" | "sendmsg" => &[
            "EACCES",
            "EAGAIN",
            "EBADF",
            "ECONNREFUSED",
            "EINTR",
            "EINVAL",
            "EMSGSIZE",
            "ENOBUFS",
            "ENOENT",
            "ENOMEM",
            "EOPNOTSUPP",
            "EPERM",
        ],
        "recvfrom" | "recvmsg" => &[
            "EAGAIN", "EBADF", "EFAULT", "EINTR", "EINVAL", "ENOBUFS", "ENOMEM",
        ],
        "signalfd4" => &["EBADF", "EINVAL", "EMFILE", "ENFILE", "ENODEV", "ENOMEM"],
        "write" | "writev" => &[
            "EAGAIN",
            "EBADF",
            "EDESTADDRREQ",
            "EDQUOT",
            "EFAULT",
            "EFBIG",
            "EINTR",
            "EINVAL",
            "EIO",
            "ENOSPC",
            "EPERM",
            "EPIPE",
        ],
        _ => &[],
    }
}

/// System calls that always succeed, so that there is nothing to inject. futex: no kernel loses a
/// wake-up. brk(2) has no error: the kernel returns the old end, which strace cannot know.
pub const INFALLIBLE: [&str; 10] = [
    "brk",
    "futex",
    "getpid",
    "getppid",
    "getpgrp",
    "getuid",
    "geteuid",
    "gettid",
    "exit_group",
    "sigaltstack",
];

/// Whether an error may persist: a resource that is exhausted is exhausted for the next call, too.
/// Not for calls that would also affect standard error, the signals that continue stopped
/// processes, or memory allocation, without which the program cannot go on.
pub fn may_last(call: &str, errno: &str) -> bool {
    !["close", "mmap", "pidfd_send_signal", "write"].contains(&call)
        && ["EMFILE", "ENFILE", "ENOMEM", "ENOSYS", "EIO", "ENOSPC"].contains(&errno)
}
