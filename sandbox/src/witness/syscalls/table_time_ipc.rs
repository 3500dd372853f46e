//! Clocks and timers, and the message queues, semaphores and shared memory of System V and POSIX.
//!
//! Reading and waiting is quiet. Setting the time is refused; adjusting it is watched, since the
//! same call only reads when its structure says so, and the subject lacks the right anyway.
//! Messages and shared segments are watched: they carry bytes.

use super::prelude::*;

calls! {
    time 201 13 (tloc: Pointer) Clock Quiet;
    ftime - 35 (tp: Pointer) Clock Quiet;
    times 100 43 (buf: Pointer) Clock Quiet;
    gettimeofday 96 78 (tv: Pointer, tz: Pointer) Clock Quiet;
    clock_gettime 228 265 (clockid: Flags(&CLOCK), tp: Pointer) Clock Quiet;
    clock_gettime64 - 403 (clockid: Flags(&CLOCK), tp: Pointer) Clock Quiet;
    clock_getres 229 266 (clockid: Flags(&CLOCK), res: Pointer) Clock Quiet;
    clock_getres_time64 - 406 (clockid: Flags(&CLOCK), res: Pointer) Clock Quiet;
    nanosleep 35 162 (req: Pointer, rem: Pointer) Clock Quiet;
    clock_nanosleep 230 267 (clockid: Flags(&CLOCK), flags: Flags(&TIMER), req: Pointer, rem: Pointer) Clock Quiet;
    clock_nanosleep_time64 - 407 (clockid: Flags(&CLOCK), flags: Flags(&TIMER), req: Pointer, rem: Pointer) Clock Quiet;
    settimeofday 164 79 (tv: Pointer, tz: Pointer) Clock Refused(EPERM);
    stime - 25 (t: Pointer) Clock Refused(EPERM);
    clock_settime 227 264 (clockid: Flags(&CLOCK), tp: Pointer) Clock Refused(EPERM);
    clock_settime64 - 404 (clockid: Flags(&CLOCK), tp: Pointer) Clock Refused(EPERM);
    adjtimex 159 124 (buf: Pointer) Clock Watched;
    clock_adjtime 305 343 (clockid: Flags(&CLOCK), buf: Pointer) Clock Watched;
    clock_adjtime64 - 405 (clockid: Flags(&CLOCK), buf: Pointer) Clock Watched;

    alarm 37 27 (seconds: Uint) Clock Passed;
    getitimer 36 105 (which: Flags(&ITIMER), curr_value: Pointer) Clock Quiet;
    setitimer 38 104 (which: Flags(&ITIMER), new_value: Pointer, old_value: Pointer) Clock Passed;
    timer_create 222 259 (clockid: Flags(&CLOCK), sevp: Pointer, timerid: Pointer) Clock Passed;
    timer_settime 223 260 (timerid: Int, flags: Flags(&TIMER), new_value: Pointer, old_value: Pointer) Clock Passed;
    timer_settime64 - 409 (timerid: Int, flags: Flags(&TIMER), new_value: Pointer, old_value: Pointer) Clock Passed;
    timer_gettime 224 261 (timerid: Int, curr_value: Pointer) Clock Quiet;
    timer_gettime64 - 408 (timerid: Int, curr_value: Pointer) Clock Quiet;
    timer_getoverrun 225 262 (timerid: Int) Clock Quiet;
    timer_delete 226 263 (timerid: Int) Clock Passed;
    timerfd_create 283 322 (clockid: Flags(&CLOCK), flags: Flags(&DESCRIPTOR)) Clock Passed;
    timerfd_settime 286 325 (fd: Fd, flags: Flags(&TIMER), new_value: Pointer, old_value: Pointer) Clock Passed;
    timerfd_settime64 - 411 (fd: Fd, flags: Flags(&TIMER), new_value: Pointer, old_value: Pointer) Clock Passed;
    timerfd_gettime 287 326 (fd: Fd, curr_value: Pointer) Clock Quiet;
    timerfd_gettime64 - 410 (fd: Fd, curr_value: Pointer) Clock Quiet;

    futex 202 240 (uaddr: Hex, op: Flags(&FUTEX), val: Int, timeout: Pointer, uaddr2: Hex, val3: Hex) Ipc Quiet;
    futex_time64 - 422 (uaddr: Hex, op: Flags(&FUTEX), val: Int, timeout: Pointer, uaddr2: Hex, val3: Hex) Ipc Quiet;
    futex_waitv 449 449 (waiters: Pointer, nr_futexes: Uint, flags: Hex, timeout: Pointer, clockid: Flags(&CLOCK)) Ipc Quiet;
    futex_wake 454 454 (uaddr: Hex, mask: Hex, nr: Int, flags: Hex) Ipc Quiet;
    futex_wait 455 455 (uaddr: Hex, val: Hex, mask: Hex, flags: Hex, timeout: Pointer, clockid: Flags(&CLOCK)) Ipc Quiet;
    futex_requeue 456 456 (waiters: Pointer, flags: Hex, nr_wake: Int, nr_requeue: Int) Ipc Quiet;

    shmget 29 395 (key: Hex, size: Uint, shmflg: Flags(&IPC_GET)) Ipc Watched;
    shmat 30 397 (shmid: Int, shmaddr: Hex, shmflg: Flags(&SHM_AT)) Ipc Watched;
    shmctl 31 396 (shmid: Int, cmd: Flags(&IPC_CTL), buf: Pointer) Ipc Passed;
    shmdt 67 398 (shmaddr: Hex) Ipc Passed;
    semget 64 393 (key: Hex, nsems: Int, semflg: Flags(&IPC_GET)) Ipc Passed;
    semop 65 - (semid: Int, sops: Pointer, nsops: Uint) Ipc Passed;
    semtimedop 220 - (semid: Int, sops: Pointer, nsops: Uint, timeout: Pointer) Ipc Passed;
    semtimedop_time64 - 420 (semid: Int, sops: Pointer, nsops: Uint, timeout: Pointer) Ipc Passed;
    semctl 66 394 (semid: Int, semnum: Int, cmd: Flags(&IPC_CTL), arg: Hex) Ipc Passed;
    msgget 68 399 (key: Hex, msgflg: Flags(&IPC_GET)) Ipc Passed;
    // The buffer begins with the message's type, which msgsz does not count: of a captured message
    // the last bytes of that width are missing.
    msgsnd 69 400 (msqid: Int, msgp: InBuf { len: 2 }, msgsz: Uint, msgflg: Flags(&IPC_GET)) Ipc Watched;
    msgrcv 70 401 (msqid: Int, msgp: OutBuf { len: 2 }, msgsz: Uint, msgtyp: Offset, msgflg: Flags(&IPC_GET)) Ipc Watched;
    msgctl 71 402 (msqid: Int, cmd: Flags(&IPC_CTL), buf: Pointer) Ipc Passed;
    // i386: all of System V's calls behind one number.
    ipc - 117 (call: Flags(&IPC_CALL), first: Hex, second: Hex, third: Hex, ptr: Pointer, fifth: Hex) Ipc Watched;
    mq_open 240 277 (name: Text, oflag: Flags(&OPEN), mode: Mode, attr: Pointer) Ipc Watched;
    mq_unlink 241 278 (name: Text) Ipc Watched;
    mq_timedsend 242 279 (mqdes: Fd, msg_ptr: InBuf { len: 2 }, msg_len: Uint, msg_prio: Uint, abs_timeout: Pointer) Ipc Watched;
    mq_timedsend_time64 - 418 (mqdes: Fd, msg_ptr: InBuf { len: 2 }, msg_len: Uint, msg_prio: Uint, abs_timeout: Pointer) Ipc Watched;
    mq_timedreceive 243 280 (mqdes: Fd, msg_ptr: OutBuf { len: 2 }, msg_len: Uint, msg_prio: Pointer, abs_timeout: Pointer) Ipc Watched;
    mq_timedreceive_time64 - 419 (mqdes: Fd, msg_ptr: OutBuf { len: 2 }, msg_len: Uint, msg_prio: Pointer, abs_timeout: Pointer) Ipc Watched;
    mq_notify 244 281 (mqdes: Fd, sevp: Pointer) Ipc Passed;
    mq_getsetattr 245 282 (mqdes: Fd, newattr: Pointer, oldattr: Pointer) Ipc Passed;
}
