// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//
// What the program hands to belljar: records in the ring, each a fixed head and items behind it. The reader in
// `sandbox/src/witness/ebpf/record.rs` describes the same bytes; a test holds the two against each other.

#pragma once

#include "kernel.h"

enum record_type {
	RECORD_CALL = 1,  // one call, finished
	RECORD_EXEC = 2,  // an exec that succeeded: the call, and the new program
	RECORD_FORK = 3,  // a process came to be
	RECORD_END = 4,   // a process ended
	RECORD_PART = 5,  // more of the payload of this thread's next call
	RECORD_QUIET = 6, // how often a thread made each of the quiet calls
	RECORD_EARLY = 7, // items of this thread's call, read before it did away with them
	RECORD_TLS = 8,   // one call of a function of a TLS library: result and total are bytes, args[0] what it returned
};

enum record_flag {
	FLAG_NO_ENTER = 1,   // never entered: answered by a filter or a tracer
	FLAG_NO_RESULT = 2,  // does not return
	FLAG_UNREADABLE = 4, // some memory could not be read
	FLAG_CUT = 8,        // some item is not all of it
	FLAG_PARTS = 16,     // parts of the payload came before
};

// All numbers are little-endian, as the machine's.
struct head {
	u8 type;
	u8 abi;     // 0 x86-64, 1 i386, 2 x32
	u16 flags;
	u32 nr;
	u32 lost;   // records of this processor that found no room since the last one that did
	u32 process;
	u32 tid;    // in the jail
	u32 cpu;
	u64 time;   // CLOCK_MONOTONIC when the call entered
	u64 duration;
	s64 result;
	u64 total;  // bytes that moved with the call
	u64 args[6];
};

enum item_kind {
	ITEM_THING = 1,   // struct thing: what a descriptor or place is
	ITEM_NAME = 2,    // the way from the thing before up to the root: u8 length and bytes, each
	ITEM_SOCKET = 3,  // struct peer: whom the socket before talks to
	ITEM_PATH = 4,    // a path as the caller gave it
	ITEM_TEXT = 5,    // another string of the call
	ITEM_PAYLOAD = 6, // bytes that moved
	ITEM_ADDRESS = 7, // a socket address as the caller gave it
	ITEM_ARGV = 8,    // strings, each ended by NUL
	ITEM_ENV = 9,
	ITEM_OFFSET = 10, // u64: where in its file a copy has come to
};

// What a thing is to the call.
enum role {
	ROLE_ARGUMENT = 0, // a descriptor among the arguments
	ROLE_RESULT = 1,   // the descriptor that the call made
	ROLE_BASE = 2,     // where the path before begins
	ROLE_PASSED = 3,   // a descriptor passed in a message
	ROLE_PROGRAM = 4,  // the file a process executes
};

// Behind it stand `len` bytes, and as many more as make the next item begin at a multiple of 8.
struct item {
	u16 kind;
	u16 role;
	u32 len;
};

enum thing_flag { THING_INTERNAL = 1, THING_NAMED = 2 };

struct thing {
	u64 ino;
	u64 dentry; // address: with `ino` and `mnt` it is the thing's identity as long as anything holds it
	u64 mnt;    // address of the mount it was reached by
	u64 magic;  // of its file system
	u32 dev;
	u32 rdev;
	u32 generation;
	u16 mode;
	u16 flags;
	u64 position; // where its descriptor stands
	u32 asset;    // which planted file it is, counted from 1; 0 for none
	u32 unused;
};

struct peer {
	u16 family;
	u16 type;
	u16 protocol;
	u8 state;
	u8 own_len;    // of a unix socket's own name
	u8 peer_len;   // and of its peer's
	u8 connected;  // whether there is a peer
	u16 own_port;  // host byte order
	u16 peer_port; // network byte order
	u16 unused;
	u8 own[16];
	u8 peer[16];
	u8 names[2 * 112]; // a unix socket's own name, its peer's name
};

// What the table says of one call, as steps. Made by `sandbox/src/witness/ebpf/plan.rs`.
enum class { CLASS_RECORD = 0, CLASS_QUIET = 1, CLASS_UNKNOWN = 2, CLASS_EXEC = 3, CLASS_LAST = 4, CLASS_SOCKETCALL = 5,
	     CLASS_PACKED = 6 };
enum op { OP_NONE = 0, OP_FD = 1, OP_NEWFD = 2, OP_PATH = 3, OP_TEXT = 4, OP_IN = 5, OP_OUT = 6, OP_IN_VECTOR = 7,
	  OP_OUT_VECTOR = 8, OP_IN_MESSAGE = 9, OP_OUT_MESSAGE = 10, OP_IN_MESSAGES = 11, OP_ADDRESS = 12, OP_ARGV = 13,
	  OP_ENV = 14, OP_OFFSET = 15, OP_FD_AT = 16 };
// The first argument is a descriptor that will be gone; names of other things are others when it has succeeded.
enum mark { MARK_EARLY = 1, MARK_MOVES = 2 };
#define STEPS 5
struct step { u8 op, a, b, c; };
struct plan {
	u8 class;
	u8 quiet; // index of its count
	u8 count; // of arguments packed in memory
	u8 marks;
	struct step steps[STEPS];
};

#define QUIETS 160
#define NUMBERS 512
