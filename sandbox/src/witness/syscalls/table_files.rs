//! Calls that name files: opening, looking, changing, and the attributes of files.
//!
//! Opening, changing and setting attributes are watched: each is rare beside reads and writes and
//! each can be a step of storing or disrupting. Looking (stat, access, getxattr) is passed, since
//! programs do it by the thousand while they start and no byte of contents moves; the exceptions
//! are directory listings and symlink reads, which is how software searches a home.

use super::prelude::*;

calls! {
    // Opening and making.
    open 2 5 (path: Path, flags: Flags(&OPEN), mode: Mode) Open Watched;
    creat 85 8 (path: Path, mode: Mode) Open Watched;
    openat 257 295 (dirfd: DirFd, path: Path, flags: Flags(&OPEN), mode: Mode) Open Watched;
    openat2 437 437 (dirfd: DirFd, path: Path, how: InBuf { len: 3 }, size: Uint) Open Watched;
    name_to_handle_at 303 341 (dirfd: DirFd, path: Path, handle: Pointer, mount_id: Pointer, flags: Flags(&AT_LINK)) Look Passed;
    // Reaches past mounts and roots by inode number.
    open_by_handle_at 304 342 (mount_fd: Fd, handle: Pointer, flags: Flags(&OPEN)) Open Refused(EPERM);
    uselib 134 86 (library: Path) Open Watched;
    mkdir 83 39 (path: Path, mode: Mode) Open Watched;
    mkdirat 258 296 (dirfd: DirFd, path: Path, mode: Mode) Open Watched;
    mknod 133 14 (path: Path, mode: Mode, dev: Hex) Open Watched;
    mknodat 259 297 (dirfd: DirFd, path: Path, mode: Mode, dev: Hex) Open Watched;

    // Renames, links, removals, sizes.
    rename 82 38 (oldpath: Path, newpath: Path) Change Watched;
    renameat 264 302 (olddirfd: DirFd, oldpath: Path, newdirfd: DirFd, newpath: Path) Change Watched;
    renameat2 316 353 (olddirfd: DirFd, oldpath: Path, newdirfd: DirFd, newpath: Path, flags: Flags(&RENAME)) Change Watched;
    link 86 9 (oldpath: Path, newpath: Path) Change Watched;
    linkat 265 303 (olddirfd: DirFd, oldpath: Path, newdirfd: DirFd, newpath: Path, flags: Flags(&AT_LINK)) Change Watched;
    symlink 88 83 (target: Text, linkpath: Path) Change Watched;
    symlinkat 266 304 (target: Text, newdirfd: DirFd, linkpath: Path) Change Watched;
    unlink 87 10 (path: Path) Change Watched;
    unlinkat 263 301 (dirfd: DirFd, path: Path, flags: Flags(&AT_UNLINK)) Change Watched;
    rmdir 84 40 (path: Path) Change Watched;
    truncate 76 92 (path: Path, length: Offset) Change Watched;
    truncate64 - 193 (path: Path, length_lo: Uint, length_hi: Uint) Change Watched;
    ftruncate 77 93 (fd: Fd, length: Offset) Change Watched;
    ftruncate64 - 194 (fd: Fd, length_lo: Uint, length_hi: Uint) Change Watched;
    fallocate 285 - (fd: Fd, mode: Flags(&FALLOCATE), offset: Offset, len: Offset) Change Watched;
    fallocate - 324 (fd: Fd, mode: Flags(&FALLOCATE), offset_lo: Uint, offset_hi: Uint, len_lo: Uint, len_hi: Uint) Change Watched;

    // Mode, owner, times, extended attributes.
    chmod 90 15 (path: Path, mode: Mode) Attribute Watched;
    fchmod 91 94 (fd: Fd, mode: Mode) Attribute Watched;
    fchmodat 268 306 (dirfd: DirFd, path: Path, mode: Mode) Attribute Watched;
    fchmodat2 452 452 (dirfd: DirFd, path: Path, mode: Mode, flags: Flags(&AT_LOOK)) Attribute Watched;
    chown 92 182 (path: Path, owner: Int, group: Int) Attribute Watched;
    fchown 93 95 (fd: Fd, owner: Int, group: Int) Attribute Watched;
    lchown 94 16 (path: Path, owner: Int, group: Int) Attribute Watched;
    chown32 - 212 (path: Path, owner: Int, group: Int) Attribute Watched;
    fchown32 - 207 (fd: Fd, owner: Int, group: Int) Attribute Watched;
    lchown32 - 198 (path: Path, owner: Int, group: Int) Attribute Watched;
    fchownat 260 298 (dirfd: DirFd, path: Path, owner: Int, group: Int, flags: Flags(&AT_LOOK)) Attribute Watched;
    utime 132 30 (path: Path, times: Pointer) Attribute Watched;
    utimes 235 271 (path: Path, times: Pointer) Attribute Watched;
    futimesat 261 299 (dirfd: DirFd, path: Path, times: Pointer) Attribute Watched;
    utimensat 280 320 (dirfd: DirFd, path: Path, times: Pointer, flags: Flags(&AT_LOOK)) Attribute Watched;
    utimensat_time64 - 412 (dirfd: DirFd, path: Path, times: Pointer, flags: Flags(&AT_LOOK)) Attribute Watched;
    setxattr 188 226 (path: Path, name: Text, value: InBuf { len: 3 }, size: Uint, flags: Flags(&XATTR)) Attribute Watched;
    lsetxattr 189 227 (path: Path, name: Text, value: InBuf { len: 3 }, size: Uint, flags: Flags(&XATTR)) Attribute Watched;
    fsetxattr 190 228 (fd: Fd, name: Text, value: InBuf { len: 3 }, size: Uint, flags: Flags(&XATTR)) Attribute Watched;
    setxattrat 463 463 (dirfd: DirFd, path: Path, at_flags: Flags(&AT_LOOK), name: Text, args: Pointer, size: Uint) Attribute Watched;
    removexattr 197 235 (path: Path, name: Text) Attribute Watched;
    lremovexattr 198 236 (path: Path, name: Text) Attribute Watched;
    fremovexattr 199 237 (fd: Fd, name: Text) Attribute Watched;
    removexattrat 466 466 (dirfd: DirFd, path: Path, at_flags: Flags(&AT_LOOK), name: Text) Attribute Watched;
    file_setattr 469 469 (dirfd: DirFd, path: Path, attr: Pointer, size: Uint, at_flags: Flags(&AT_LOOK)) Attribute Watched;

    // Looking, the two kinds that search.
    getdents 78 141 (fd: Fd, dirp: Pointer, count: Uint) Look Watched;
    getdents64 217 220 (fd: Fd, dirp: Pointer, count: Uint) Look Watched;
    readdir - 89 (fd: Fd, dirp: Pointer, count: Uint) Look Watched;
    readlink 89 85 (path: Path, buf: OutBuf { len: 2 }, bufsiz: Uint) Look Watched;
    readlinkat 267 305 (dirfd: DirFd, path: Path, buf: OutBuf { len: 3 }, bufsiz: Uint) Look Watched;
    // Being told of changes.
    inotify_init 253 291 () Look Passed;
    inotify_init1 294 332 (flags: Flags(&INOTIFY_INIT)) Look Passed;
    // The watched path is the object, so its descriptor is shown as a number.
    inotify_add_watch 254 292 (fd: Int, path: Path, mask: Flags(&INOTIFY)) Look Watched;
    inotify_rm_watch 255 293 (fd: Fd, wd: Int) Look Passed;
    fanotify_init 300 338 (flags: Hex, event_f_flags: Flags(&OPEN)) Look Watched;
    fanotify_mark 301 - (fanotify_fd: Int, flags: Flags(&FAN_MARK), mask: Hex, dirfd: DirFd, path: Path) Look Watched;
    fanotify_mark - 339 (fanotify_fd: Int, flags: Flags(&FAN_MARK), mask_lo: Hex, mask_hi: Hex, dirfd: DirFd, path: Path) Look Watched;

    // Looking, the rest.
    stat 4 106 (path: Path, statbuf: Pointer) Look Passed;
    fstat 5 108 (fd: Fd, statbuf: Pointer) Look Passed;
    lstat 6 107 (path: Path, statbuf: Pointer) Look Passed;
    oldstat - 18 (path: Path, statbuf: Pointer) Look Passed;
    oldfstat - 28 (fd: Fd, statbuf: Pointer) Look Passed;
    oldlstat - 84 (path: Path, statbuf: Pointer) Look Passed;
    stat64 - 195 (path: Path, statbuf: Pointer) Look Passed;
    lstat64 - 196 (path: Path, statbuf: Pointer) Look Passed;
    fstat64 - 197 (fd: Fd, statbuf: Pointer) Look Passed;
    newfstatat 262 - (dirfd: DirFd, path: Path, statbuf: Pointer, flags: Flags(&AT_LOOK)) Look Passed;
    fstatat64 - 300 (dirfd: DirFd, path: Path, statbuf: Pointer, flags: Flags(&AT_LOOK)) Look Passed;
    statx 332 383 (dirfd: DirFd, path: Path, flags: Flags(&AT_LOOK), mask: Hex, statxbuf: Pointer) Look Passed;
    access 21 33 (path: Path, mode: Flags(&ACCESS)) Look Passed;
    faccessat 269 307 (dirfd: DirFd, path: Path, mode: Flags(&ACCESS)) Look Passed;
    faccessat2 439 439 (dirfd: DirFd, path: Path, mode: Flags(&ACCESS), flags: Flags(&AT_ACCESS)) Look Passed;
    getxattr 191 229 (path: Path, name: Text, value: OutBuf { len: 3 }, size: Uint) Look Passed;
    lgetxattr 192 230 (path: Path, name: Text, value: OutBuf { len: 3 }, size: Uint) Look Passed;
    fgetxattr 193 231 (fd: Fd, name: Text, value: OutBuf { len: 3 }, size: Uint) Look Passed;
    getxattrat 464 464 (dirfd: DirFd, path: Path, at_flags: Flags(&AT_LOOK), name: Text, args: Pointer, size: Uint) Look Passed;
    listxattr 194 232 (path: Path, list: OutBuf { len: 2 }, size: Uint) Look Passed;
    llistxattr 195 233 (path: Path, list: OutBuf { len: 2 }, size: Uint) Look Passed;
    flistxattr 196 234 (fd: Fd, list: OutBuf { len: 2 }, size: Uint) Look Passed;
    listxattrat 465 465 (dirfd: DirFd, path: Path, at_flags: Flags(&AT_LOOK), list: OutBuf { len: 4 }, size: Uint) Look Passed;
    file_getattr 468 468 (dirfd: DirFd, path: Path, attr: Pointer, size: Uint, at_flags: Flags(&AT_LOOK)) Look Passed;
    statfs 137 99 (path: Path, buf: Pointer) Look Passed;
    fstatfs 138 100 (fd: Fd, buf: Pointer) Look Passed;
    statfs64 - 268 (path: Path, size: Uint, buf: Pointer) Look Passed;
    fstatfs64 - 269 (fd: Fd, size: Uint, buf: Pointer) Look Passed;
    ustat 136 62 (dev: Hex, ubuf: Pointer) Look Passed;
    getcwd 79 183 (buf: OutBuf { len: 1 }, size: Uint) Look Passed;
    cachestat 451 451 (fd: Fd, range: Pointer, cstat: Pointer, flags: Hex) Look Passed;
}
