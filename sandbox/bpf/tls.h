// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//
// What the session's processes hand to a TLS library, and get from it: probes on the library's functions, for all that
// call them, of which only the session's tasks are looked at.
//
// A probe runs in the process's own context and may be interrupted there by another task, on kernels that preempt. So
// it must not use its processor's desk: its records are put together in the ring itself, whose reservations need a
// size that is known beforehand, hence the classes.

#pragma once

#include "payload.h"

// What the cookie of a probe says of its function. Made by `sandbox/src/witness/ebpf/tls.rs`.
#define TLS_FUNCTION 0xff /* its number */
#define TLS_SENT 0x100    /* the bytes leave */
#define TLS_BEHIND 0x200  /* how many moved stands behind the fourth argument; the result is 1 */
#define TLS_LAYERED 0x400 /* only of descriptors of NSPR that have a layer put upon them */
#define TLS_WIDE 0x800    /* the result has 64 bits, not 32 */

// PRIOMethods begins with the kind of the descriptor; PR_DESC_LAYERED (prio.h).
#define LAYERED 4

static __always_inline bool is_layered(u64 descriptor)
{
	u64 methods = 0;
	u32 kind = 0;
	// PRFileDesc begins with its methods.
	if (bpf_probe_read_user(&methods, sizeof(methods), (void *)descriptor) || !methods ||
	    bpf_probe_read_user(&kind, sizeof(kind), (void *)methods))
		return false;
	return kind == LAYERED;
}

// Where a call is remembered until it returns: by the stack pointer it was made at, since one may be made within another,
// and some never return.
static __always_inline struct tls_call *find_call(struct task_state *state, u64 sp)
{
	for (int i = 0; i < TLS_CALLS; i++) {
		if (state->tls[i].sp == sp)
			return &state->tls[i];
	}
	return 0;
}

SEC("uprobe")
int tls_enter(struct pt_regs *regs)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_state *state = bpf_task_storage_get(&tasks, task, 0, 0);
	if (!state)
		return 0;
	u64 how = bpf_get_attach_cookie(regs);
	if (how & TLS_LAYERED && !is_layered(regs->di))
		return 0;
	u64 sp = regs->sp;
	struct tls_call *call = find_call(state, sp);
	if (!call)
		call = find_call(state, 0);
	if (!call)
		// All are taken by calls that never returned, or by more within each other than anybody makes.
		call = &state->tls[(sp >> 4) % TLS_CALLS];
	call->sp = sp;
	call->buffer = regs->si;
	call->wanted = how & (TLS_BEHIND | TLS_WIDE) ? regs->dx : (u32)regs->dx;
	call->behind = how & TLS_BEHIND ? regs->cx : 0;
	call->began = bpf_ktime_get_ns();
	return 0;
}

struct tls_record {
	struct head head;
	struct item item;
	u8 bytes[];
};

// Losses are counted so that a task that interrupts this one on the same processor cannot undo it.
static __always_inline u32 take_losses(void)
{
	u32 *count = lost();
	return count ? __sync_lock_test_and_set(count, 0) : 0;
}

static __always_inline void give_losses(u32 more)
{
	u32 *count = lost();
	if (count)
		__sync_fetch_and_add(count, more);
}

// One record into the ring: `len` bytes of the process's memory in a room of `ROOM`. A part has no item.
#define HAND_TLS(ROOM)                                                                                                 \
	static __noinline int hand_tls_##ROOM(struct head *head, u64 from, u32 len)                                    \
	{                                                                                                              \
		if (!head || len > ROOM)                                                                               \
			return 0;                                                                                      \
		u64 before = bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA);                                              \
		u32 missed = take_losses();                                                                            \
		struct tls_record *to = bpf_ringbuf_reserve(&ring, sizeof(struct tls_record) + ROOM, 0);               \
		if (!to) {                                                                                             \
			give_losses(missed + 1);                                                                       \
			return 0;                                                                                      \
		}                                                                                                      \
		to->head = *head;                                                                                      \
		to->head.lost = missed;                                                                                \
		to->head.cpu = bpf_get_smp_processor_id();                                                             \
		to->item = (struct item){ ITEM_PAYLOAD, 0, len };                                                      \
		if (len && bpf_probe_read_user(to->bytes, len, (void *)from)) {                                        \
			to->item.len = 0;                                                                              \
			to->head.flags |= FLAG_UNREADABLE;                                                             \
		}                                                                                                      \
		bool wake = before + ROOM > high_water && before < high_water + (1 << 17);                             \
		bpf_ringbuf_submit(to, wake ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP);                                 \
		return 1;                                                                                              \
	}

HAND_TLS(256)
HAND_TLS(2048)
HAND_TLS(16384) /* a record of TLS */
HAND_TLS(65536)

static __always_inline int hand_tls(struct head *head, u64 from, u32 len)
{
	if (len <= 256)
		return hand_tls_256(head, from, len);
	if (len <= 2048)
		return hand_tls_2048(head, from, len);
	if (len <= 16384)
		return hand_tls_16384(head, from, len);
	return hand_tls_65536(head, from, len);
}

// What does not fit into one record goes ahead of it.
static long hand_tls_part(u32 index, struct tls_rest *rest)
{
	u32 size = rest->len < ITEM_MAX ? rest->len : ITEM_MAX;
	if (!size || !hand_tls(&rest->head, rest->from, size))
		return 1;
	rest->from += size;
	rest->len -= size;
	return 0;
}

SEC("uretprobe")
int tls_leave(struct pt_regs *regs)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_state *state = bpf_task_storage_get(&tasks, task, 0, 0);
	if (!state)
		return 0;
	// The return address has been taken off the stack.
	struct tls_call *call = find_call(state, regs->sp - 8);
	if (!call)
		return 0;
	u64 how = bpf_get_attach_cookie(regs);
	s64 result = how & TLS_WIDE ? (s64)regs->ax : (s64)(s32)regs->ax;
	u64 moved = result > 0 ? result : 0;
	call->sp = 0;
	if (call->behind && moved) {
		moved = 0;
		bpf_probe_read_user(&moved, sizeof(moved), (void *)call->behind);
	}
	// What it would not take was to be sent all the same; what did not come is nothing.
	u64 len = moved ? moved : how & TLS_SENT ? call->wanted : 0;
	if (!len)
		return 0;
	struct tls_rest rest = {};
	rest.head.type = RECORD_TLS;
	rest.head.nr = how & (TLS_FUNCTION | TLS_SENT);
	rest.head.process = state->process;
	rest.head.tid = state->tid;
	rest.head.time = call->began;
	rest.head.duration = bpf_ktime_get_ns() - call->began;
	rest.head.result = moved;
	rest.head.total = len;
	rest.head.args[0] = result;
	rest.head.args[1] = call->wanted;
	u64 limit = everything ? whole : capture;
	if (len > limit)
		len = limit;
	u64 from = call->buffer;
	if (len > ITEM_MAX) {
		rest.from = from + ITEM_MAX;
		rest.len = len - ITEM_MAX;
		rest.head.type = RECORD_PART;
		bpf_loop(256, hand_tls_part, &rest, 0);
		rest.head.type = RECORD_TLS;
		rest.head.flags = FLAG_PARTS;
		len = ITEM_MAX;
	}
	hand_tls(&rest.head, from, len);
	return 0;
}
