"""The system calls a confined process may still make: a list of allowed ones, everything else fails.

A list of forbidden calls would have to know every new call of every kernel; this one need not. Threads may be
created where that is wanted, processes may not; open files may be read and written, nothing can be sent to another
process or the network, and nothing the kernel keeps for a process grows without a limit: file tables are shared
between threads, so that the limit on open files bounds pipes and socket pairs too. Bindings: `seccompy`.
Source: kernel.org/doc/html/latest/userspace-api/seccomp_filter.html.
"""

from __future__ import annotations

import errno

try:
    import seccompy
except ImportError:  # not Linux, or not installed: `seccomp_available` says False
    seccompy = None  # type: ignore[assignment]

_ALLOWED = """
    read write readv writev pread64 pwrite64 preadv pwritev lseek close dup dup2 dup3 pipe pipe2
    stat fstat lstat newfstatat statx access faccessat faccessat2 readlink readlinkat getdents getdents64
    getcwd chdir open openat umask fsync fdatasync
    mmap mprotect munmap brk mremap madvise msync membarrier
    rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait rt_sigsuspend sigaltstack
    restart_syscall pause alarm setitimer getitimer
    select pselect6 poll ppoll epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait eventfd2 recvfrom
    nanosleep clock_nanosleep clock_gettime clock_getres gettimeofday time times sched_yield sched_getaffinity
    getpid getppid gettid getuid geteuid getgid getegid getgroups getpgrp getpgid getsid getresuid getresgid
    getcpu uname sysinfo getrandom getrlimit setrlimit getrusage getpriority
    futex set_robust_list get_robust_list rseq set_tid_address arch_prctl exit exit_group
"""

# These fail with "not permitted", which a program understands; all others fail with "no such call".
_REFUSED = """
    fork vfork execve execveat socket connect bind listen accept accept4 kill tkill tgkill rt_sigqueueinfo
    rt_tgsigqueueinfo pidfd_send_signal ptrace process_vm_readv process_vm_writev
    mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 link linkat symlink symlinkat
    truncate ftruncate fallocate creat mknod mknodat chmod fchmod fchmodat chown fchown lchown fchownat
    utimensat setxattr
    mount umount2 chroot setuid setgid setresuid setresgid setpriority sched_setaffinity memfd_create
"""

# Flags of clone as pthread_create passes them: memory, files, signals and the rest are shared with the process.
_PTHREAD_CREATE = 0x003D0F00
_CLONE_DETACHED = 0x00400000  # means nothing today; musl still passes it
_CLOSE_RANGE_UNSHARE = 2  # would give a thread a table of files of its own
# F_DUPFD F_GETFD F_SETFD F_GETFL F_SETFL F_DUPFD_CLOEXEC F_GETPIPE_SZ: no locks and leases, which other processes
# would wait for, no signals on our behalf, no larger pipes
_FCNTLS = (0, 1, 2, 3, 4, 1030, 1032)
_IOCTLS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)  # TCGETS TIOCGWINSZ FIONREAD FIONBIO FIONCLEX FIOCLEX
_PRCTLS = (15, 16, 0x53564D41)  # PR_SET_NAME PR_GET_NAME PR_SET_VMA
_AF_UNIX = 1
_O_TRUNC = 0o1000


def seccomp_available() -> bool:
    """Whether this kernel and this processor can filter system calls.

    Returns:
        `False` where the binding is not installed or does not know the processor.
    """
    try:
        return bool(seccompy) and seccompy.supported() and seccompy.arch() in ("x86_64", "aarch64")
    except OSError:
        return False


def system_call_filter(*, allow_truncate: bool, threads: bool) -> seccompy.Filter:
    """The filter for a process that runs untrusted code or works on untrusted text.

    Args:
        allow_truncate: let `open` truncate; right where Landlock itself guards truncation (its version 3 on).
        threads: let threads be created.

    Returns:
        A filter; its `load()` confines the process for good, with the threads it has.
    """
    rules = seccompy.Filter(default=seccompy.Action.ERRNO | errno.ENOSYS, flags=seccompy.FilterFlag.TSYNC)
    if not allow_truncate:
        _refuse_truncating_open(rules)
    _allow_by_argument(rules, threads)
    for name in _known(_ALLOWED):
        rules.allow(name)
    for name in _known(_REFUSED):
        rules.errno(name, errno.EPERM)
    return rules


def _allow_by_argument(rules: seccompy.Filter, threads: bool) -> None:
    masked = seccompy.CmpOp.MASKED_EQ
    if threads:
        rules.allow("clone", args=[(0, masked, _PTHREAD_CREATE, 0xFFFFFFFFFFFFFFFF ^ _CLONE_DETACHED)])
    rules.allow("close_range", args=[(2, masked, 0, _CLOSE_RANGE_UNSHARE)])
    for name, argument, values in (("fcntl", 1, _FCNTLS), ("ioctl", 1, _IOCTLS), ("prctl", 0, _PRCTLS)):
        for value in values:
            rules.allow(name, args=[(argument, masked, value, 0xFFFFFFFF)])
    rules.allow("prlimit64", args=[(0, masked, 0, 0xFFFFFFFF)])  # own limits only
    rules.allow("socketpair", args=[(0, masked, _AF_UNIX, 0xFFFFFFFF)])  # asyncio wakes itself through one
    rules.allow("sendto", args=[(4, seccompy.CmpOp.EQ, 0)])  # to the other end only, not to an address
    for name in ("clone", "close_range", "fcntl", "ioctl", "prctl", "prlimit64", "socketpair", "sendto"):
        rules.errno(name, errno.EPERM)


def _refuse_truncating_open(rules: seccompy.Filter) -> None:
    for name, argument in (("open", 1), ("openat", 2)):
        if name in _known(name):
            rules.errno(name, errno.EPERM, args=[(argument, seccompy.CmpOp.MASKED_EQ, _O_TRUNC, _O_TRUNC)])


def _known(names: str) -> list[str]:
    """The names this processor has: arm64 has no `open`, no `fork`, no `pipe`."""
    known = []
    for name in names.split():
        try:
            seccompy.syscall_nr(name)
        except ValueError:
            continue
        known.append(name)
    return known
