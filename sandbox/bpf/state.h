// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//
// What the program knows: its settings, the session's tasks, the things already named, and a desk for each processor
// on which a record is put together.

#pragma once

#include "record.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

// Set before loading.
const volatile struct plan plans[2][NUMBERS];
const volatile struct plan socket_plans[21]; // operations of i386's socketcall
const volatile u32 capture;                  // most payload bytes of calls that hand bytes out of the subject
const volatile u32 keep;                     // of all others
const volatile u32 whole;                    // most bytes kept of pipes, unix sockets and terminals
const volatile u32 everything;               // whether all payloads are kept like those
const volatile u32 priming_tid;              // the thread of belljar that shows us the planted files
const volatile u64 high_water;               // bytes in the ring from which on the guard is woken

struct control {
	u32 init_tgid;   // the jail's pid 1; 0 until there is one
	u32 level;       // depth of the jail's pid namespace
	u32 next_key;    // the next process's
	u32 priming;     // which planted file belljar opens now
	u64 root_mnt, root_dentry; // what the subject's root is at first
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct control);
} control SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 26); // replaced when loading
} ring SEC(".maps");

enum phase { OUTSIDE = 0, QUIETLY, INSIDE, NEWBORN, LEFT };

// A call of a function of a TLS library that has not returned. One within another: TLS through TLS.
#define TLS_CALLS 4
struct tls_call { u64 sp, buffer, wanted, behind, began; };
struct tls_rest { struct head head; u64 from; u32 len; };

struct task_state {
	u32 process;
	u32 tid;
	u32 nr;
	u8 abi;
	u8 phase;
	u8 counted; // whether any quiet call was
	u8 kept; // whether `early` is set
	u64 began;
	u64 args[6];
	struct thing early; // what the descriptor was that the call closes
	u32 quiet[QUIETS];
	struct tls_call tls[TLS_CALLS];
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_state);
} tasks SEC(".maps");

struct thing_key { u64 ino, dentry, mnt; };

// In which epoch a thing's name was told.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1 << 16);
	__type(key, struct thing_key);
	__type(value, u32);
} named SEC(".maps");

struct asset_key { u64 ino; u64 dev; };

// The planted files.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1 << 14);
	__type(key, struct asset_key);
	__type(value, u32);
} assets SEC(".maps");

// Items begin before ITEMS; two more of at most ITEM_MAX always fit behind that (the verifier adds up the largest).
#define ITEMS (1 << 17)
#define ITEM_MAX (1 << 16)

// Where loops stand. Loops are bpf_loop's (Linux 5.17), and what changes from round to round is kept in the map's memory:
// either way the verifier goes through a body once, where it would follow every number through every round.
struct climb { u32 at; u32 len; struct mount *mnt; struct dentry *dentry, *top; };
struct pages { u64 from; u32 at, len, done; };
struct rest { u64 from, len; };
struct gather { u64 from, most, total; u32 narrow; };
struct passed { u64 from; };
struct strings { u64 from; u32 at, len, narrow; };
struct messages { u64 from; u32 narrow; };

// What open files were found to be, by their address. An address is used again for other files: where it still leads to
// the same inode, number and dentry, it is the same thing.
#define RECENT 64
struct recent {
	u64 file, inode, dentry;
	struct thing thing;
	u32 epoch;
	s32 soft;
};

struct desk {
	struct head head;
	u8 items[ITEMS + 2 * ITEM_MAX + 64];
	struct head part;
	u8 part_bytes[ITEM_MAX];
	// Everything from here on is our own.
	u32 busy;
	u32 at;          // end of the items
	u32 payload_at;  // where the payload's item begins; 0 for none
	u32 payload_len; // how much of it is on this desk
	u32 limit;       // most bytes of payload wanted
	u32 moved;       // payload bytes kept, parts included
	u32 flags;
	u32 soft;        // class of the first descriptor
	struct climb climb;
	struct pages pages;
	struct rest rest;
	struct gather gather;
	struct passed passed;
	struct strings strings;
	struct messages messages;
	struct recent recent[RECENT];
	u32 untold_count;
	struct thing_key untold[4]; // names on this desk, told once the record is in the ring
};

// One for each processor (a per-CPU array's values are too small for it).
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1); // replaced when loading
	__type(key, u32);
	__type(value, struct desk);
} desks SEC(".maps");

// Names told in earlier epochs must be told again: belljar has forgotten them.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} epochs SEC(".maps");

// How often a call has moved things under other names.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} moves SEC(".maps");

// Records that found no room, by processor, since the last one that did.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1); // replaced when loading
	__type(key, u32);
	__type(value, u32);
} losses SEC(".maps");

static __always_inline struct control *settings(void)
{
	u32 zero = 0;
	return bpf_map_lookup_elem(&control, &zero);
}

static __always_inline struct desk *desk(void)
{
	u32 cpu = bpf_get_smp_processor_id();
	return bpf_map_lookup_elem(&desks, &cpu);
}

static __always_inline u32 *lost(void)
{
	u32 cpu = bpf_get_smp_processor_id();
	return bpf_map_lookup_elem(&losses, &cpu);
}

static __always_inline void count_lost(void)
{
	u32 *count = lost();
	if (count)
		++*count;
}

static __always_inline u32 epoch(void)
{
	u32 zero = 0, *now = bpf_map_lookup_elem(&epochs, &zero);
	return now ? *now : 0;
}

// Whether anything may be called otherwise than it was. Until then, what has been named needs no second look when it is
// opened again; from then on every open tells the name anew.
static __always_inline bool moved(void)
{
	u32 zero = 0, *count = bpf_map_lookup_elem(&moves, &zero);
	return count && *count;
}
