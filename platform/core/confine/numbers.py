"""System calls by name: which a walled process may make whatever it asks, and the numbers of those.

Numbers are those of the kernel's headers, for x86_64 (asm/unistd_64.h) and for aarch64 (asm-generic/unistd.h); `-` is a
call that aarch64 never had. The list is what CPython 3.11 to 3.14, Node 20 to 24, their C libraries and native add-ons
make: whatever is not on it, or in `BY_ARGUMENT`, is refused.
"""

import os
from typing import Final

ARCHITECTURES: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""AUDIT_ARCH_* of linux/audit.h: what a filter is told of the caller's instruction set."""

NEWEST: Final = 452
"""The newest call that is known here (fchmodat2, Linux 6.6). A C library that meets ENOSYS beyond it falls back."""

_ALWAYS: Final = """
    # Files, by path and by descriptor
    access 21 -, chdir 80 49, chmod 90 -, chown 92 -, close 3 57, close_range 436 436, copy_file_range 326 285,
    creat 85 -, dup 32 23, dup2 33 -, dup3 292 24, faccessat 269 48, faccessat2 439 439, fadvise64 221 223,
    fallocate 285 47, fchdir 81 50, fchmod 91 52, fchmodat 268 53, fchmodat2 452 452, fchown 93 55,
    fchownat 260 54, fdatasync 75 83, fgetxattr 193 10, flistxattr 196 13, flock 73 32, fstat 5 80,
    fstatfs 138 44, fsync 74 82, ftruncate 77 46, futimesat 261 -, getcwd 79 17, getdents 78 -,
    getdents64 217 61, getxattr 191 8, lchown 94 -, lgetxattr 192 9, link 86 -, linkat 265 37, listxattr 194 11,
    llistxattr 195 12, lseek 8 62, lstat 6 -, mkdir 83 -, mkdirat 258 34, newfstatat 262 79, open 2 -,
    openat 257 56, openat2 437 437, pipe 22 -, pipe2 293 59, pread64 17 67, preadv 295 69, preadv2 327 286,
    pwrite64 18 68, pwritev 296 70, pwritev2 328 287, read 0 63, readlink 89 -, readlinkat 267 78, readv 19 65,
    rename 82 -, renameat 264 38, renameat2 316 276, rmdir 84 -, sendfile 40 71, stat 4 -, statfs 137 43,
    statx 332 291, symlink 88 -, symlinkat 266 36, truncate 76 45, umask 95 166, unlink 87 -, unlinkat 263 35,
    utime 132 -, utimensat 280 88, utimes 235 -, write 1 64, writev 20 66,
    # Memory
    brk 12 214, get_mempolicy 239 236, madvise 28 233, membarrier 324 283, mincore 27 232, mlock 149 228,
    mlock2 325 284, mlockall 151 230, mmap 9 222, mprotect 10 226, mremap 25 216, msync 26 227, munlock 150 229,
    munlockall 152 231, munmap 11 215, pkey_alloc 330 289, pkey_free 331 290, pkey_mprotect 329 288,
    # Processes and threads; `clone` by its flags
    arch_prctl 158 -, capget 125 90, execve 59 221, exit 60 93, exit_group 231 94, fork 57 -, futex 202 98,
    getegid 108 177, geteuid 107 175, getgid 104 176, getgroups 115 158, getpgid 121 155, getpgrp 111 -,
    getpid 39 172, getppid 110 173, getpriority 140 141, getresgid 120 150, getresuid 118 148, getsid 124 156,
    gettid 186 178, getuid 102 174, kill 62 129, pidfd_open 434 434, pidfd_send_signal 424 424,
    restart_syscall 219 128, rseq 334 293, set_robust_list 273 99, set_tid_address 218 96, setpgid 109 154,
    setsid 112 157, tgkill 234 131, tkill 200 130, vfork 58 -, wait4 61 260, waitid 247 95,
    # Signals
    pause 34 -, rt_sigaction 13 134, rt_sigpending 127 136, rt_sigprocmask 14 135, rt_sigreturn 15 139,
    rt_sigsuspend 130 133, rt_sigtimedwait 128 137, sigaltstack 131 132, signalfd 282 -, signalfd4 289 74,
    # Scheduling and limits
    getcpu 309 168, getrlimit 97 163, getrusage 98 165, sched_get_priority_max 146 125,
    sched_get_priority_min 147 126, sched_getaffinity 204 123, sched_getattr 315 275, sched_getparam 143 121,
    sched_getscheduler 145 120, sched_rr_get_interval 148 127, sched_yield 24 124, setrlimit 160 164,
    sysinfo 99 179, times 100 153, uname 63 160,
    # Time
    alarm 37 -, clock_getres 229 114, clock_gettime 228 113, clock_nanosleep 230 115, getitimer 36 102,
    gettimeofday 96 169, nanosleep 35 101, setitimer 38 103, time 201 -, timer_create 222 107,
    timer_delete 226 111, timer_getoverrun 225 109, timer_gettime 224 108, timer_settime 223 110,
    timerfd_create 283 85, timerfd_gettime 287 87, timerfd_settime 286 86,
    # Waiting for events
    epoll_create 213 -, epoll_create1 291 20, epoll_ctl 233 21, epoll_pwait 281 22, epoll_pwait2 441 441,
    epoll_wait 232 -, eventfd 284 -, eventfd2 290 19, inotify_add_watch 254 27, inotify_init 253 -,
    inotify_init1 294 26, inotify_rm_watch 255 28, poll 7 -, ppoll 271 73, pselect6 270 72, select 23 -,
    # Sockets that exist already, and randomness
    getpeername 52 205, getrandom 318 278, getsockname 51 204, getsockopt 55 209, recvfrom 45 207,
    recvmmsg 299 243, recvmsg 47 212, shutdown 48 210,
"""

_BY_ARGUMENT: Final = """
    clone 56 220, clone3 435 435, connect 42 203, execveat 322 281, fcntl 72 25, ioctl 16 29,
    memfd_create 319 279, mknod 133 -, mknodat 259 33, prctl 157 167, prlimit64 302 261,
    sched_setaffinity 203 122, sendmmsg 307 269, sendmsg 46 211, sendto 44 206, setpriority 141 140,
    setsockopt 54 208, socket 41 198, socketpair 53 199,
"""


def machine() -> str:
    """Returns this host's instruction set. Raises OSError when there is no table for it."""
    name = os.uname().machine
    if name not in ARCHITECTURES:
        raise OSError(f"there is no list of system calls for {name}; the walls know {', '.join(ARCHITECTURES)}")
    return name


def always(architecture: str) -> dict[str, int]:
    """Returns the calls that are allowed whatever they ask."""
    return _table(_ALWAYS, architecture)


def by_argument(architecture: str) -> dict[str, int]:
    """Returns the calls whose arguments decide."""
    return _table(_BY_ARGUMENT, architecture)


def _table(text: str, architecture: str) -> dict[str, int]:
    column = 1 + list(ARCHITECTURES).index(architecture)
    rows = [row.split() for line in text.split("\n") if "#" not in line for row in line.split(",") if row.strip()]
    return {row[0]: int(row[column]) for row in rows if row[column] != "-"}
