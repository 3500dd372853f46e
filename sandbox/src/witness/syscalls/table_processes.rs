//! Processes: made, replaced, ended, waited for; their ids and scheduling; signals; and one
//! process reaching into another.
//!
//! Births, new programs, ends, changes of identity, signals to others and reaching into others are
//! watched; a process that only asks who it is, is quiet.

use super::prelude::*;

calls! {
    // On i386 the last two arguments stand the other way round (CONFIG_CLONE_BACKWARDS).
    clone 56 - (flags: Flags(&CLONE), stack: Hex, parent_tid: Pointer, child_tid: Pointer, tls: Hex) Process Passed;
    clone - 120 (flags: Flags(&CLONE), stack: Hex, parent_tid: Pointer, tls: Hex, child_tid: Pointer) Process Passed;
    clone3 435 435 (cl_args: InBuf { len: 1 }, size: Uint) Process Passed;
    fork 57 2 () Process Passed;
    vfork 58 190 () Process Passed;
    execve 59 11 (path: Path, argv: Argv, envp: Envp) Process Watched;
    execveat 322 358 (dirfd: DirFd, path: Path, argv: Argv, envp: Envp, flags: Flags(&AT_LOOK)) Process Watched;
    exit 60 1 (status: Int) Process Passed;
    exit_group 231 252 (status: Int) Process Watched;
    wait4 61 114 (pid: Pid, wstatus: Pointer, options: Flags(&WAIT), rusage: Pointer) Process Passed;
    waitpid - 7 (pid: Pid, wstatus: Pointer, options: Flags(&WAIT)) Process Passed;
    waitid 247 284 (idtype: Flags(&ID_TYPE), id: Int, infop: Pointer, options: Flags(&WAIT), rusage: Pointer) Process Passed;
    pidfd_open 434 434 (pid: Pid, flags: Flags(&PIDFD)) Process Passed;
    chdir 80 12 (path: Path) Process Watched;
    fchdir 81 133 (fd: Fd) Process Watched;
    umask 95 60 (mask: Mode) Process Passed;
    unshare 272 310 (flags: Flags(&UNSHARE)) Process Watched;
    setns 308 346 (fd: Fd, nstype: Flags(&UNSHARE)) Process Watched;
    personality 135 136 (persona: Hex) Process Passed;
    prctl 157 172 (option: Flags(&PRCTL), arg2: Hex, arg3: Hex, arg4: Hex, arg5: Hex) Process Passed;
    arch_prctl 158 384 (code: Flags(&ARCH_PRCTL), addr: Hex) Process Passed;
    set_tid_address 218 258 (tidptr: Pointer) Process Quiet;
    set_robust_list 273 311 (head: Pointer, size: Uint) Process Quiet;
    get_robust_list 274 312 (pid: Pid, head_ptr: Pointer, len_ptr: Pointer) Process Passed;
    rseq 334 386 (rseq: Pointer, rseq_len: Uint, flags: Hex, sig: Hex) Process Quiet;

    // Who am I.
    getpid 39 20 () Process Quiet;
    gettid 186 224 () Process Quiet;
    getppid 110 64 () Process Quiet;
    getpgrp 111 65 () Process Quiet;
    getpgid 121 132 (pid: Pid) Process Quiet;
    getsid 124 147 (pid: Pid) Process Quiet;
    getuid 102 24 () Process Quiet;
    getgid 104 47 () Process Quiet;
    geteuid 107 49 () Process Quiet;
    getegid 108 50 () Process Quiet;
    getuid32 - 199 () Process Quiet;
    getgid32 - 200 () Process Quiet;
    geteuid32 - 201 () Process Quiet;
    getegid32 - 202 () Process Quiet;
    getresuid 118 165 (ruid: Pointer, euid: Pointer, suid: Pointer) Process Quiet;
    getresgid 120 171 (rgid: Pointer, egid: Pointer, sgid: Pointer) Process Quiet;
    getresuid32 - 209 (ruid: Pointer, euid: Pointer, suid: Pointer) Process Quiet;
    getresgid32 - 211 (rgid: Pointer, egid: Pointer, sgid: Pointer) Process Quiet;
    getgroups 115 80 (size: Int, list: Pointer) Process Quiet;
    getgroups32 - 205 (size: Int, list: Pointer) Process Quiet;
    capget 125 184 (header: Pointer, data: Pointer) Process Passed;

    // Becoming another.
    setuid 105 23 (uid: Int) Process Watched;
    setgid 106 46 (gid: Int) Process Watched;
    setreuid 113 70 (ruid: Int, euid: Int) Process Watched;
    setregid 114 71 (rgid: Int, egid: Int) Process Watched;
    setresuid 117 164 (ruid: Int, euid: Int, suid: Int) Process Watched;
    setresgid 119 170 (rgid: Int, egid: Int, sgid: Int) Process Watched;
    setfsuid 122 138 (fsuid: Int) Process Watched;
    setfsgid 123 139 (fsgid: Int) Process Watched;
    setgroups 116 81 (size: Int, list: Pointer) Process Watched;
    setuid32 - 213 (uid: Int) Process Watched;
    setgid32 - 214 (gid: Int) Process Watched;
    setreuid32 - 203 (ruid: Int, euid: Int) Process Watched;
    setregid32 - 204 (rgid: Int, egid: Int) Process Watched;
    setresuid32 - 208 (ruid: Int, euid: Int, suid: Int) Process Watched;
    setresgid32 - 210 (rgid: Int, egid: Int, sgid: Int) Process Watched;
    setfsuid32 - 215 (fsuid: Int) Process Watched;
    setfsgid32 - 216 (fsgid: Int) Process Watched;
    setgroups32 - 206 (size: Int, list: Pointer) Process Watched;
    capset 126 185 (header: Pointer, data: Pointer) Process Watched;
    setpgid 109 57 (pid: Pid, pgid: Int) Process Passed;
    setsid 112 66 () Process Passed;

    // Limits and scheduling.
    getrlimit 97 76 (resource: Flags(&RLIMIT), rlim: Pointer) Process Passed;
    ugetrlimit - 191 (resource: Flags(&RLIMIT), rlim: Pointer) Process Passed;
    setrlimit 160 75 (resource: Flags(&RLIMIT), rlim: Pointer) Process Passed;
    prlimit64 302 340 (pid: Pid, resource: Flags(&RLIMIT), new_limit: Pointer, old_limit: Pointer) Process Passed;
    ulimit - 58 (cmd: Int, limit: Int) Process Passed;
    getrusage 98 77 (who: Int, usage: Pointer) Process Quiet;
    nice - 34 (increment: Int) Process Passed;
    getpriority 140 96 (which: Int, who: Int) Process Passed;
    setpriority 141 97 (which: Int, who: Int, prio: Int) Process Passed;
    ioprio_get 252 290 (which: Int, who: Int) Process Passed;
    ioprio_set 251 289 (which: Int, who: Int, ioprio: Hex) Process Passed;
    sched_yield 24 158 () Process Quiet;
    sched_setparam 142 154 (pid: Pid, param: Pointer) Process Passed;
    sched_getparam 143 155 (pid: Pid, param: Pointer) Process Passed;
    sched_setscheduler 144 156 (pid: Pid, policy: Flags(&SCHED), param: Pointer) Process Passed;
    sched_getscheduler 145 157 (pid: Pid) Process Passed;
    sched_get_priority_max 146 159 (policy: Flags(&SCHED)) Process Passed;
    sched_get_priority_min 147 160 (policy: Flags(&SCHED)) Process Passed;
    sched_rr_get_interval 148 161 (pid: Pid, tp: Pointer) Process Passed;
    sched_rr_get_interval_time64 - 423 (pid: Pid, tp: Pointer) Process Passed;
    sched_setaffinity 203 241 (pid: Pid, cpusetsize: Uint, mask: Pointer) Process Passed;
    sched_getaffinity 204 242 (pid: Pid, cpusetsize: Uint, mask: Pointer) Process Passed;
    sched_setattr 314 351 (pid: Pid, attr: Pointer, flags: Hex) Process Passed;
    sched_getattr 315 352 (pid: Pid, attr: Pointer, size: Uint, flags: Hex) Process Passed;
    getcpu 309 318 (cpu: Pointer, node: Pointer, tcache: Pointer) Process Quiet;
    membarrier 324 375 (cmd: Int, flags: Hex, cpu_id: Int) Process Quiet;

    // Signals to others.
    kill 62 37 (pid: Pid, sig: Signal) Signal Watched;
    tkill 200 238 (tid: Pid, sig: Signal) Signal Watched;
    tgkill 234 270 (tgid: Pid, tid: Int, sig: Signal) Signal Watched;
    rt_sigqueueinfo 129 178 (tgid: Pid, sig: Signal, info: Pointer) Signal Watched;
    rt_tgsigqueueinfo 297 335 (tgid: Pid, tid: Int, sig: Signal, info: Pointer) Signal Watched;
    pidfd_send_signal 424 424 (pidfd: Fd, sig: Signal, info: Pointer, flags: Hex) Signal Watched;
    // One's own.
    rt_sigaction 13 174 (sig: Signal, act: Pointer, oldact: Pointer, sigsetsize: Uint) Signal Passed;
    sigaction - 67 (sig: Signal, act: Pointer, oldact: Pointer) Signal Passed;
    signal - 48 (sig: Signal, handler: Hex) Signal Passed;
    rt_sigprocmask 14 175 (how: Flags(&SIG_HOW), set: Pointer, oldset: Pointer, sigsetsize: Uint) Signal Quiet;
    sigprocmask - 126 (how: Flags(&SIG_HOW), set: Pointer, oldset: Pointer) Signal Quiet;
    sgetmask - 68 () Signal Quiet;
    ssetmask - 69 (newmask: Hex) Signal Quiet;
    rt_sigreturn 15 173 () Signal Quiet;
    sigreturn - 119 () Signal Quiet;
    sigaltstack 131 186 (ss: Pointer, old_ss: Pointer) Signal Quiet;
    rt_sigpending 127 176 (set: Pointer, sigsetsize: Uint) Signal Quiet;
    sigpending - 73 (set: Pointer) Signal Quiet;
    rt_sigtimedwait 128 177 (set: Pointer, info: Pointer, timeout: Pointer, sigsetsize: Uint) Signal Passed;
    rt_sigtimedwait_time64 - 421 (set: Pointer, info: Pointer, timeout: Pointer, sigsetsize: Uint) Signal Passed;
    rt_sigsuspend 130 179 (mask: Pointer, sigsetsize: Uint) Signal Passed;
    sigsuspend - 72 (unused1: Int, unused2: Int, mask: Hex) Signal Passed;
    pause 34 29 () Signal Passed;
    restart_syscall 219 0 () Signal Quiet;

    // Reaching into another process.
    ptrace 101 26 (request: Flags(&PTRACE), pid: Pid, addr: Hex, data: Hex) Trace Watched;
    process_vm_readv 310 347 (pid: Pid, local_iov: OutIovec { count: 2 }, liovcnt: Uint, remote_iov: Pointer, riovcnt: Uint, flags: Hex) Trace Watched;
    process_vm_writev 311 348 (pid: Pid, local_iov: InIovec { count: 2 }, liovcnt: Uint, remote_iov: Pointer, riovcnt: Uint, flags: Hex) Trace Watched;
    kcmp 312 349 (pid1: Pid, pid2: Int, type: Flags(&KCMP), idx1: Hex, idx2: Hex) Trace Watched;
    pidfd_getfd 438 438 (pidfd: Fd, targetfd: Int, flags: Hex) Trace Watched;
    process_madvise 440 440 (pidfd: Fd, iov: Pointer, iovcnt: Uint, advice: Flags(&MADVISE), flags: Hex) Trace Watched;
    process_mrelease 448 448 (pidfd: Fd, flags: Hex) Trace Watched;
}
