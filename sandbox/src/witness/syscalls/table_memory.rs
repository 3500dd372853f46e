//! Mappings and protections.
//!
//! A mapping of a file is watched, because what is read or written through it never shows as a
//! call. Anonymous ones are by far the most frequent; the filter lets them by on their flag.

use super::prelude::*;

calls! {
    mmap 9 - (addr: Hex, length: Uint, prot: Flags(&PROT), flags: Flags(&MAP), fd: Fd, offset: Hex) Memory when(3, MAP_ANONYMOUS, 0);
    // The old form: one pointer to the six arguments, so the filter cannot see the flags.
    mmap - 90 (args: Pointer) Memory Watched;
    mmap2 - 192 (addr: Hex, length: Uint, prot: Flags(&PROT), flags: Flags(&MAP), fd: Fd, pgoffset: Hex) Memory when(3, MAP_ANONYMOUS, 0);
    memfd_create 319 356 (name: Text, flags: Flags(&MEMFD)) Memory Watched;
    memfd_secret 447 447 (flags: Flags(&DESCRIPTOR)) Memory Watched;
    mprotect 10 125 (addr: Hex, size: Uint, prot: Flags(&PROT)) Memory Passed;
    pkey_mprotect 329 380 (addr: Hex, size: Uint, prot: Flags(&PROT), pkey: Int) Memory Passed;
    pkey_alloc 330 381 (flags: Hex, access_rights: Hex) Memory Passed;
    pkey_free 331 382 (pkey: Int) Memory Passed;
    munmap 11 91 (addr: Hex, length: Uint) Memory Quiet;
    mremap 25 163 (old_address: Hex, old_size: Uint, new_size: Uint, flags: Flags(&MREMAP), new_address: Hex) Memory Passed;
    remap_file_pages 216 257 (addr: Hex, size: Uint, prot: Flags(&PROT), pgoff: Hex, flags: Flags(&MAP)) Memory Passed;
    brk 12 45 (addr: Hex) Memory Quiet;
    msync 26 144 (addr: Hex, length: Uint, flags: Flags(&MSYNC)) Memory Passed;
    mincore 27 218 (addr: Hex, length: Uint, vec: Pointer) Memory Passed;
    madvise 28 219 (addr: Hex, length: Uint, advice: Flags(&MADVISE)) Memory Quiet;
    mlock 149 150 (addr: Hex, size: Uint) Memory Passed;
    mlock2 325 376 (addr: Hex, size: Uint, flags: Flags(&MLOCK2)) Memory Passed;
    munlock 150 151 (addr: Hex, size: Uint) Memory Passed;
    mlockall 151 152 (flags: Flags(&MLOCKALL)) Memory Passed;
    munlockall 152 153 () Memory Passed;
    mseal 462 462 (addr: Hex, size: Uint, flags: Hex) Memory Passed;
    map_shadow_stack 453 453 (addr: Hex, size: Uint, flags: Hex) Memory Passed;
    mbind 237 274 (addr: Hex, size: Uint, mode: Int, nodemask: Pointer, maxnode: Uint, flags: Hex) Memory Passed;
    set_mempolicy 238 276 (mode: Int, nodemask: Pointer, maxnode: Uint) Memory Passed;
    get_mempolicy 239 275 (mode: Pointer, nodemask: Pointer, maxnode: Uint, addr: Hex, flags: Hex) Memory Passed;
    set_mempolicy_home_node 450 450 (addr: Hex, size: Uint, home_node: Uint, flags: Hex) Memory Passed;
    migrate_pages 256 294 (pid: Pid, maxnode: Uint, old_nodes: Pointer, new_nodes: Pointer) Memory Passed;
    move_pages 279 317 (pid: Pid, count: Uint, pages: Pointer, nodes: Pointer, status: Pointer, flags: Hex) Memory Passed;
    set_thread_area 205 243 (u_info: Pointer) Memory Passed;
    get_thread_area 211 244 (u_info: Pointer) Memory Passed;
    modify_ldt 154 123 (func: Int, ptr: Pointer, bytecount: Uint) Memory Passed;
}
