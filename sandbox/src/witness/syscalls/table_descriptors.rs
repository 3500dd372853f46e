//! Calls on open descriptors: reading, writing, copying between them, waiting for them.
//!
//! Reads are watched although they are frequent: `collect` is proven by what was read, and no
//! other witness sees a read. Waiting (poll, epoll) is quiet: it says nothing about data.

use super::prelude::*;

calls! {
    read 0 3 (fd: Fd, buf: OutBuf { len: 2 }, count: Uint) Read Watched;
    pread64 17 - (fd: Fd, buf: OutBuf { len: 2 }, count: Uint, offset: Offset) Read Watched;
    pread64 - 180 (fd: Fd, buf: OutBuf { len: 2 }, count: Uint, offset_lo: Uint, offset_hi: Uint) Read Watched;
    readv 19 145 (fd: Fd, iov: OutIovec { count: 2 }, iovcnt: Uint) Read Watched;
    preadv 295 333 (fd: Fd, iov: OutIovec { count: 2 }, iovcnt: Uint, offset_lo: Uint, offset_hi: Uint) Read Watched;
    preadv2 327 378 (fd: Fd, iov: OutIovec { count: 2 }, iovcnt: Uint, offset_lo: Uint, offset_hi: Uint, flags: Flags(&RWF)) Read Watched;
    write 1 4 (fd: Fd, buf: InBuf { len: 2 }, count: Uint) Write Watched;
    pwrite64 18 - (fd: Fd, buf: InBuf { len: 2 }, count: Uint, offset: Offset) Write Watched;
    pwrite64 - 181 (fd: Fd, buf: InBuf { len: 2 }, count: Uint, offset_lo: Uint, offset_hi: Uint) Write Watched;
    writev 20 146 (fd: Fd, iov: InIovec { count: 2 }, iovcnt: Uint) Write Watched;
    pwritev 296 334 (fd: Fd, iov: InIovec { count: 2 }, iovcnt: Uint, offset_lo: Uint, offset_hi: Uint) Write Watched;
    pwritev2 328 379 (fd: Fd, iov: InIovec { count: 2 }, iovcnt: Uint, offset_lo: Uint, offset_hi: Uint, flags: Flags(&RWF)) Write Watched;
    vmsplice 278 316 (fd: Fd, iov: InIovec { count: 2 }, nr_segs: Uint, flags: Flags(&SPLICE)) Write Watched;

    // Bytes that move without passing the subject's memory.
    sendfile 40 187 (out_fd: Fd, in_fd: Fd, offset: Pointer, count: Uint) Change Watched;
    sendfile64 - 239 (out_fd: Fd, in_fd: Fd, offset: Pointer, count: Uint) Change Watched;
    splice 275 313 (fd_in: Fd, off_in: Pointer, fd_out: Fd, off_out: Pointer, size: Uint, flags: Flags(&SPLICE)) Change Watched;
    tee 276 315 (fd_in: Fd, fd_out: Fd, size: Uint, flags: Flags(&SPLICE)) Change Watched;
    copy_file_range 326 377 (fd_in: Fd, off_in: Pointer, fd_out: Fd, off_out: Pointer, size: Uint, flags: Hex) Change Watched;

    // Asynchronous reads and writes: the submission is the event.
    io_setup 206 245 (nr_events: Uint, ctx_idp: Pointer) Descriptor Passed;
    io_destroy 207 246 (ctx_id: Hex) Descriptor Passed;
    io_submit 209 248 (ctx_id: Hex, nr: Offset, iocbpp: Pointer) Descriptor Watched;
    io_cancel 210 249 (ctx_id: Hex, iocb: Pointer, result: Pointer) Descriptor Passed;
    io_getevents 208 247 (ctx_id: Hex, min_nr: Offset, nr: Offset, events: Pointer, timeout: Pointer) Descriptor Quiet;
    io_pgetevents 333 385 (ctx_id: Hex, min_nr: Offset, nr: Offset, events: Pointer, timeout: Pointer, usig: Pointer) Descriptor Quiet;
    io_pgetevents_time64 - 416 (ctx_id: Hex, min_nr: Offset, nr: Offset, events: Pointer, timeout: Pointer, usig: Pointer) Descriptor Quiet;

    // Never trapped: a close that waits for an answer changes what programs may rely on.
    close 3 6 (fd: Fd) Descriptor Passed;
    close_range 436 436 (first: Uint, last: Uint, flags: Flags(&CLOSE_RANGE)) Descriptor Passed;
    dup 32 41 (oldfd: Fd) Descriptor Passed;
    dup2 33 63 (oldfd: Fd, newfd: Int) Descriptor Passed;
    dup3 292 330 (oldfd: Fd, newfd: Int, flags: Flags(&DESCRIPTOR)) Descriptor Passed;
    fcntl 72 55 (fd: Fd, cmd: Flags(&FCNTL), arg: Hex) Descriptor Passed;
    fcntl64 - 221 (fd: Fd, cmd: Flags(&FCNTL), arg: Hex) Descriptor Passed;
    flock 73 143 (fd: Fd, operation: Flags(&FLOCK)) Descriptor Passed;
    // TIOCSTI types into a terminal as its user would; every other request is passed.
    ioctl 16 54 (fd: Fd, request: Command, arg: Hex) Descriptor when(1, u32::MAX, TIOCSTI);
    stty - 31 (fd: Fd, buf: Pointer) Descriptor Passed;
    gtty - 32 (fd: Fd, buf: Pointer) Descriptor Passed;
    lseek 8 19 (fd: Fd, offset: Offset, whence: Flags(&SEEK)) Descriptor Passed;
    _llseek - 140 (fd: Fd, offset_hi: Uint, offset_lo: Uint, result: Pointer, whence: Flags(&SEEK)) Descriptor Passed;
    fsync 74 118 (fd: Fd) Descriptor Passed;
    fdatasync 75 148 (fd: Fd) Descriptor Passed;
    sync 162 36 () Descriptor Passed;
    syncfs 306 344 (fd: Fd) Descriptor Passed;
    sync_file_range 277 - (fd: Fd, offset: Offset, nbytes: Offset, flags: Flags(&SYNC_RANGE)) Descriptor Passed;
    sync_file_range - 314 (fd: Fd, offset_lo: Uint, offset_hi: Uint, nbytes_lo: Uint, nbytes_hi: Uint, flags: Flags(&SYNC_RANGE)) Descriptor Passed;
    readahead 187 - (fd: Fd, offset: Offset, count: Uint) Descriptor Passed;
    readahead - 225 (fd: Fd, offset_lo: Uint, offset_hi: Uint, count: Uint) Descriptor Passed;
    fadvise64 221 - (fd: Fd, offset: Offset, size: Uint, advice: Flags(&FADVISE)) Descriptor Passed;
    fadvise64 - 250 (fd: Fd, offset_lo: Uint, offset_hi: Uint, size: Uint, advice: Flags(&FADVISE)) Descriptor Passed;
    fadvise64_64 - 272 (fd: Fd, offset_lo: Uint, offset_hi: Uint, size_lo: Uint, size_hi: Uint, advice: Flags(&FADVISE)) Descriptor Passed;
    bdflush - 134 (func: Int, data: Hex) Descriptor Passed;

    pipe 22 42 (pipefd: Pointer) Descriptor Passed;
    pipe2 293 331 (pipefd: Pointer, flags: Flags(&DESCRIPTOR)) Descriptor Passed;
    eventfd 284 323 (initval: Uint) Descriptor Passed;
    eventfd2 290 328 (initval: Uint, flags: Flags(&EVENTFD)) Descriptor Passed;
    signalfd 282 321 (fd: Int, mask: Pointer, sizemask: Uint) Descriptor Passed;
    signalfd4 289 327 (fd: Int, mask: Pointer, sizemask: Uint, flags: Flags(&DESCRIPTOR)) Descriptor Passed;

    poll 7 168 (fds: Pointer, nfds: Uint, timeout: Int) Descriptor Quiet;
    ppoll 271 309 (fds: Pointer, nfds: Uint, timeout: Pointer, sigmask: Pointer, sigsetsize: Uint) Descriptor Quiet;
    ppoll_time64 - 414 (fds: Pointer, nfds: Uint, timeout: Pointer, sigmask: Pointer, sigsetsize: Uint) Descriptor Quiet;
    select 23 - (nfds: Int, readfds: Pointer, writefds: Pointer, exceptfds: Pointer, timeout: Pointer) Descriptor Quiet;
    // The old form: one pointer to the five arguments.
    select - 82 (args: Pointer) Descriptor Quiet;
    _newselect - 142 (nfds: Int, readfds: Pointer, writefds: Pointer, exceptfds: Pointer, timeout: Pointer) Descriptor Quiet;
    pselect6 270 308 (nfds: Int, readfds: Pointer, writefds: Pointer, exceptfds: Pointer, timeout: Pointer, sigmask: Pointer) Descriptor Quiet;
    pselect6_time64 - 413 (nfds: Int, readfds: Pointer, writefds: Pointer, exceptfds: Pointer, timeout: Pointer, sigmask: Pointer) Descriptor Quiet;
    epoll_create 213 254 (size: Int) Descriptor Passed;
    epoll_create1 291 329 (flags: Flags(&DESCRIPTOR)) Descriptor Passed;
    epoll_ctl 233 255 (epfd: Int, op: Flags(&EPOLL_OP), fd: Fd, event: Pointer) Descriptor Passed;
    epoll_ctl_old 214 - (epfd: Int, op: Flags(&EPOLL_OP), fd: Fd, event: Pointer) Descriptor Passed;
    epoll_wait 232 256 (epfd: Fd, events: Pointer, maxevents: Int, timeout: Int) Descriptor Quiet;
    epoll_wait_old 215 - (epfd: Fd, events: Pointer, maxevents: Int, timeout: Int) Descriptor Quiet;
    epoll_pwait 281 319 (epfd: Fd, events: Pointer, maxevents: Int, timeout: Int, sigmask: Pointer, sigsetsize: Uint) Descriptor Quiet;
    epoll_pwait2 441 441 (epfd: Fd, events: Pointer, maxevents: Int, timeout: Pointer, sigmask: Pointer, sigsetsize: Uint) Descriptor Quiet;
    getpmsg 181 188 (a: Hex, b: Hex, c: Hex, d: Hex, e: Hex) Descriptor Passed;
    putpmsg 182 189 (a: Hex, b: Hex, c: Hex, d: Hex, e: Hex) Descriptor Passed;
}
