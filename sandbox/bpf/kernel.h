// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//
// The few kernel types the witness looks into, with the few fields it needs. Where a field really lies is filled in
// when the program is loaded, from the running kernel's own BTF (CO-RE), so neither order nor size here means anything.

#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef int s32;
typedef long long s64;

// What <bpf/bpf_helper_defs.h> asks for.
typedef u8 __u8;
typedef u16 __u16;
typedef u32 __u32;
typedef u64 __u64;
typedef s32 __s32;
typedef s64 __s64;
typedef u16 __be16;
typedef u32 __be32;
typedef u32 __wsum;

#include <stdbool.h>

#define BTF __attribute__((preserve_access_index))

// Numbers of linux/bpf.h (enum bpf_map_type and the flags of the helpers used here).
enum { BPF_MAP_TYPE_HASH = 1, BPF_MAP_TYPE_ARRAY = 2, BPF_MAP_TYPE_LRU_HASH = 9, BPF_MAP_TYPE_RINGBUF = 27,
       BPF_MAP_TYPE_TASK_STORAGE = 29 };
enum { BPF_ANY = 0, BPF_F_NO_PREALLOC = 1, BPF_LOCAL_STORAGE_GET_F_CREATE = 1 };
enum { BPF_RB_NO_WAKEUP = 1, BPF_RB_FORCE_WAKEUP = 2, BPF_RB_AVAIL_DATA = 0 };

struct list_head { struct list_head *next, *prev; };
typedef struct { int counter; } atomic_t;

struct qstr { u32 hash; u32 len; const unsigned char *name; } BTF;
struct super_block { u32 s_dev; unsigned long s_magic; } BTF;
struct inode {
	u16 i_mode;
	struct super_block *i_sb;
	unsigned long i_ino;
	u32 i_rdev;
	u32 i_generation;
} BTF;
struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
} BTF;
struct vfsmount { struct dentry *mnt_root; } BTF;
struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
	void *mnt_ns;
} BTF;
struct path { struct vfsmount *mnt; struct dentry *dentry; } BTF;
struct file {
	struct inode *f_inode;
	struct path f_path;
	void *private_data;
	s64 f_pos;
} BTF;
struct fdtable { u32 max_fds; struct file **fd; } BTF;
struct files_struct { struct fdtable *fdt; } BTF;
struct fs_struct { struct path root; struct path pwd; } BTF;
struct mm_struct {
	unsigned long arg_start, arg_end, env_start, env_end;
	struct file *exe_file;
} BTF;
struct upid { s32 nr; } BTF;
struct pid { u32 level; struct upid numbers[1]; } BTF;
struct signal_struct { atomic_t live; s32 group_exit_code; u32 flags; } BTF;
struct thread_info { u32 status; } BTF;
struct task_struct {
	struct thread_info thread_info;
	s32 pid, tgid;
	s32 exit_code;
	u64 start_boottime;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	struct pid *thread_pid;
	struct mm_struct *mm;
	struct fs_struct *fs;
	struct files_struct *files;
	struct signal_struct *signal;
} BTF;
struct linux_binprm { const char *filename; } BTF;
struct pt_regs {
	unsigned long r10, r9, r8, cx, dx, si, di, bp, bx, orig_ax, ax, sp;
} BTF;

struct in6_addr { u8 bytes[16]; };
struct sock_common {
	__be32 skc_daddr, skc_rcv_saddr;
	__be16 skc_dport;
	u16 skc_num;
	u16 skc_family;
	u8 skc_state;
	struct in6_addr skc_v6_daddr, skc_v6_rcv_saddr;
} BTF;
struct sock { struct sock_common __sk_common; u16 sk_protocol; u16 sk_type; } BTF;
struct socket { struct sock *sk; } BTF;
struct sockaddr_un { u16 sun_family; };
struct unix_address { s32 len; struct sockaddr_un name[1]; } BTF;
struct unix_sock { struct sock sk; struct unix_address *addr; struct sock *peer; } BTF;
