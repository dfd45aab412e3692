/* The lower bound for every kill(1): one kill(2) and exit. With -DBARE also without a C library, so that only
 * fork, exec and exit remain; with -DGROUP for a process group that is waited for. */
#ifdef BARE
#include <sys/syscall.h>

static long call(long number, long a, long b)
{
#if defined __x86_64__
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b) : "rcx", "r11", "memory");
    return result;
#elif defined __aarch64__
    register long x8 __asm__("x8") = number, x0 __asm__("x0") = a, x1 __asm__("x1") = b;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1) : "memory");
    return x0;
#else
#error "no system call for this processor"
#endif
}

void _start(void)
{
    call(SYS_exit_group, call(SYS_kill, call(SYS_getpid, 0, 0), 0) != 0, 0);
}
#elif defined GROUP
/* The members of a process group get TERM and are waited for: PGID PID... */
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct pollfd *ends = calloc(argc, sizeof *ends);
    for (int i = 2; i < argc; i++) {
        ends[i].fd = syscall(SYS_pidfd_open, atoi(argv[i]), 0);
        ends[i].events = POLLIN;
    }
    kill(-atoi(argv[1]), SIGTERM);
    for (int i = 2; i < argc; i++)
        poll(&ends[i], 1, 5000);
    return 0;
}
#else
#include <signal.h>
#include <unistd.h>

int main(void)
{
    return kill(getpid(), 0) != 0;
}
#endif
