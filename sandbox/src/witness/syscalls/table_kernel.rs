//! The system as a whole: mounts and roots, kernel features, and what a client's system would be
//! disrupted with.
//!
//! Here stand the refusals, the jail's baseline: calls that would reach past the jail, widen the
//! kernel's attack surface, or take other programs' way out of the witnesses' sight (io_uring
//! does its reads and writes without a call). The attempt is recorded. The errno is the one that
//! an ordinary system gives where the feature is off or the caller unprivileged, so that programs
//! take their usual other way.

use super::prelude::*;

calls! {
    mount 165 21 (source: Text, target: Path, filesystemtype: Text, flags: Flags(&MOUNT), data: Pointer) Mount Watched;
    umount - 22 (target: Path) Mount Watched;
    umount2 166 52 (target: Path, flags: Flags(&UMOUNT)) Mount Watched;
    chroot 161 61 (path: Path) Mount Watched;
    pivot_root 155 217 (new_root: Path, put_old: Path) Mount Watched;
    open_tree 428 428 (dirfd: DirFd, path: Path, flags: Flags(&OPEN_TREE)) Mount Watched;
    open_tree_attr 467 467 (dirfd: DirFd, path: Path, flags: Flags(&OPEN_TREE), attr: Pointer, size: Uint) Mount Watched;
    move_mount 429 429 (from_dirfd: DirFd, from_path: Path, to_dirfd: DirFd, to_path: Path, flags: Flags(&MOVE_MOUNT)) Mount Watched;
    fsopen 430 430 (fsname: Text, flags: Hex) Mount Watched;
    fsconfig 431 431 (fd: Fd, cmd: Flags(&FSCONFIG), key: Text, value: Pointer, aux: Int) Mount Watched;
    fsmount 432 432 (fs_fd: Fd, flags: Hex, attr_flags: Flags(&MOUNT_ATTR)) Mount Watched;
    fspick 433 433 (dirfd: DirFd, path: Path, flags: Hex) Mount Watched;
    mount_setattr 442 442 (dirfd: DirFd, path: Path, flags: Flags(&OPEN_TREE), attr: Pointer, size: Uint) Mount Watched;
    statmount 457 457 (req: Pointer, buf: Pointer, bufsize: Uint, flags: Hex) Mount Passed;
    listmount 458 458 (req: Pointer, mnt_ids: Pointer, nr_mnt_ids: Uint, flags: Hex) Mount Passed;
    listns 470 470 (req: Pointer, ns_ids: Pointer, nr_ns_ids: Uint, flags: Hex) Mount Passed;
    sysfs 139 135 (option: Int, arg1: Hex, arg2: Hex) Mount Passed;

    // Code or programs into the kernel.
    init_module 175 128 (module_image: InBuf { len: 1 }, size: Uint, param_values: Text) Kernel Refused(EPERM);
    finit_module 313 350 (fd: Fd, param_values: Text, flags: Hex) Kernel Refused(EPERM);
    delete_module 176 129 (name: Text, flags: Flags(&DELETE_MODULE)) Kernel Refused(EPERM);
    create_module 174 127 (name: Text, size: Uint) Kernel Watched;
    get_kernel_syms 177 130 (table: Pointer) Kernel Passed;
    query_module 178 167 (name: Text, which: Int, buf: Pointer, bufsize: Uint, ret: Pointer) Kernel Passed;
    kexec_load 246 283 (entry: Hex, nr_segments: Uint, segments: Pointer, flags: Hex) Kernel Refused(EPERM);
    kexec_file_load 320 - (kernel_fd: Fd, initrd_fd: Fd, cmdline_len: Uint, cmdline: InBuf { len: 2 }, flags: Hex) Kernel Refused(EPERM);
    bpf 321 357 (cmd: Flags(&BPF), attr: InBuf { len: 2 }, size: Uint) Kernel Refused(EPERM);
    perf_event_open 298 336 (attr: Pointer, pid: Pid, cpu: Int, group_fd: Int, flags: Hex) Kernel Refused(EACCES);
    userfaultfd 323 374 (flags: Flags(&DESCRIPTOR)) Kernel Refused(EPERM);
    uretprobe 335 - () Kernel Passed;
    uprobe 336 - () Kernel Passed;
    lookup_dcookie 212 - (cookie: Hex, buf: Pointer, size: Uint) Kernel Refused(ENOSYS);
    lookup_dcookie - 253 (cookie_lo: Hex, cookie_hi: Hex, buf: Pointer, size: Uint) Kernel Refused(ENOSYS);
    io_uring_setup 425 425 (entries: Uint, params: Pointer) Kernel Refused(ENOSYS);
    io_uring_enter 426 426 (fd: Fd, to_submit: Uint, min_complete: Uint, flags: Hex, arg: Pointer, argsz: Uint) Kernel Refused(ENOSYS);
    io_uring_register 427 427 (fd: Fd, opcode: Int, arg: Pointer, nr_args: Uint) Kernel Refused(ENOSYS);
    // Kernel memory that no layer shows: bytes could be kept there unseen.
    add_key 248 286 (type: Text, description: Text, payload: InBuf { len: 3 }, plen: Uint, keyring: Int) Kernel Refused(ENOSYS);
    request_key 249 287 (type: Text, description: Text, callout_info: Text, dest_keyring: Int) Kernel Refused(ENOSYS);
    keyctl 250 288 (operation: Flags(&KEYCTL), arg2: Hex, arg3: Hex, arg4: Hex, arg5: Hex) Kernel Refused(ENOSYS);
    seccomp 317 354 (operation: Flags(&SECCOMP), flags: Flags(&SECCOMP_FLAG), args: Pointer) Kernel Watched;
    landlock_create_ruleset 444 444 (attr: Pointer, size: Uint, flags: Hex) Kernel Passed;
    landlock_add_rule 445 445 (ruleset_fd: Fd, rule_type: Int, rule_attr: Pointer, flags: Hex) Kernel Passed;
    landlock_restrict_self 446 446 (ruleset_fd: Fd, flags: Hex) Kernel Passed;
    lsm_get_self_attr 459 459 (attr: Int, ctx: Pointer, size: Pointer, flags: Hex) Kernel Passed;
    lsm_set_self_attr 460 460 (attr: Int, ctx: InBuf { len: 2 }, size: Uint, flags: Hex) Kernel Watched;
    lsm_list_modules 461 461 (ids: Pointer, size: Pointer, flags: Hex) Kernel Passed;
    iopl 172 110 (level: Int) Kernel Refused(EPERM);
    ioperm 173 101 (from: Hex, num: Uint, turn_on: Int) Kernel Refused(EPERM);
    vm86old - 113 (info: Pointer) Kernel Passed;
    vm86 - 166 (func: Int, info: Pointer) Kernel Passed;
    getrandom 318 355 (buf: Pointer, size: Uint, flags: Flags(&GETRANDOM)) Kernel Passed;
    _sysctl 156 149 (args: Pointer) Kernel Watched;

    // The client's system.
    reboot 169 88 (magic1: Flags(&REBOOT_MAGIC), magic2: Flags(&REBOOT_MAGIC), cmd: Flags(&REBOOT), arg: Pointer) System Refused(EPERM);
    swapon 167 87 (path: Path, swapflags: Hex) System Refused(EPERM);
    swapoff 168 115 (path: Path) System Refused(EPERM);
    acct 163 51 (path: Path) System Refused(EPERM);
    quotactl 179 131 (cmd: Command, special: Path, id: Int, addr: Pointer) System Refused(EPERM);
    quotactl_fd 443 443 (fd: Fd, cmd: Command, id: Int, addr: Pointer) System Refused(EPERM);
    nfsservctl 180 169 (cmd: Int, argp: Pointer, resp: Pointer) System Refused(EPERM);
    syslog 103 103 (type: Flags(&SYSLOG), buf: Pointer, size: Int) System Refused(EPERM);
    vhangup 153 111 () System Refused(EPERM);
    sethostname 170 74 (name: InBuf { len: 1 }, size: Uint) System Watched;
    setdomainname 171 121 (name: InBuf { len: 1 }, size: Uint) System Watched;
    uname 63 122 (buf: Pointer) System Passed;
    olduname - 109 (buf: Pointer) System Passed;
    oldolduname - 59 (buf: Pointer) System Passed;
    sysinfo 99 116 (info: Pointer) System Passed;

    // Never implemented, or long gone: the kernel answers ENOSYS.
    afs_syscall 183 137 () System Passed;
    tuxcall 184 - () System Passed;
    security 185 - () System Passed;
    vserver 236 273 () System Passed;
    break - 17 () System Passed;
    prof - 44 () System Passed;
    profil - 98 () System Passed;
    lock - 53 () System Passed;
    mpx - 56 () System Passed;
    idle - 112 () System Passed;
}
