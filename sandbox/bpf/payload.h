// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//
// The bytes that move with a call. They are read when it has returned: what it was given has been read by the kernel
// by then, so that its pages are there, and what it gave has been written.

#pragma once

#include "items.h"

#define PAGE 4096
#define VECTOR_MAX 1024 /* UIO_MAXIOV */

// Hands a record to the ring; what finds no room is counted.
static __always_inline bool hand(struct desk *d, struct head *head, u32 size)
{
	u64 before = bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA);
	// Several records wake, since two processors may pass the mark together and neither see it.
	bool wake = before + size > high_water && before < high_water + (1 << 17);
	u32 *count = lost();
	head->lost = count ? *count : 0;
	head->cpu = bpf_get_smp_processor_id();
	if (bpf_ringbuf_output(&ring, head, size, wake ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP)) {
		count_lost();
		return false;
	}
	if (count)
		*count = 0;
	return true;
}

// The payload is the last item: nothing is put behind it.
static __always_inline void begin_payload(struct desk *d, u32 limit)
{
	d->payload_at = d->at;
	d->payload_len = 0;
	d->moved = 0;
	d->limit = limit;
}

static __always_inline void end_payload(struct desk *d)
{
	u32 at = d->payload_at, len = d->payload_len;
	if (len && len <= ITEM_MAX && at < ITEMS)
		end_item(d, at, ITEM_PAYLOAD, 0, len);
}


static long read_page(u32 index, void *none)
{
	struct desk *d = desk();
	if (!d)
		return 1;
	struct pages *pages = &d->pages;
	u32 at = pages->at, done = pages->done, len = pages->len;
	if (done >= len || done >= ITEM_MAX || at >= ITEMS + ITEM_MAX)
		return 1;
	u64 from = pages->from + done;
	u32 size = PAGE - (from & (PAGE - 1));
	if (size > len - done)
		size = len - done;
	if (size > PAGE || bpf_probe_read_user(d->items + at + done, size, (void *)from))
		return 1;
	pages->done = done + size;
	return 0;
}

// Reads what is there, up to the first page that is not. Returns how much.
static __always_inline u32 read_pages(struct desk *d, u64 from, u32 at, u32 len)
{
	d->pages = (struct pages){ from, at, len, 0 };
	bpf_loop(ITEM_MAX / PAGE + 1, read_page, 0, 0);
	return d->pages.done;
}


static long take_part(u32 index, void *none)
{
	struct desk *d = desk();
	if (!d)
		return 1;
	struct rest *rest = &d->rest;
	if (!rest->len)
		return 1;
	u32 size = rest->len < ITEM_MAX ? rest->len : ITEM_MAX;
	if (bpf_probe_read_user(d->part_bytes, size, (void *)rest->from)) {
		d->flags |= FLAG_UNREADABLE;
		return 1;
	}
	d->part.type = RECORD_PART;
	d->part.process = d->head.process;
	d->part.tid = d->head.tid;
	d->part.total = size;
	d->flags |= FLAG_PARTS;
	if (!hand(d, &d->part, sizeof(struct head) + size))
		return 1;
	d->moved += size;
	rest->from += size;
	rest->len -= size;
	return 0;
}

// Takes `len` bytes more of the payload from the caller's memory.
__noinline int take(u64 from, u64 len)
{
	struct desk *d = desk();
	if (!d || !from)
		return 0;
	u32 moved = d->moved, limit = d->limit;
	if (moved >= limit || !len)
		return 0;
	if (len > limit - moved)
		len = limit - moved;
	u32 at = d->payload_at, have = d->payload_len;
	if (at >= ITEMS)
		return 0;
	if (have < ITEM_MAX) {
		u32 room = ITEM_MAX - have;
		u32 size = len < room ? len : room;
		if (size > ITEM_MAX)
			return 0;
		u32 read = size;
		if (bpf_probe_read_user(d->items + at + sizeof(struct item) + have, size, (void *)from))
			read = read_pages(d, from, at + sizeof(struct item) + have, size);
		if (read > ITEM_MAX)
			return 0;
		d->payload_len = have + read;
		d->moved = moved + read;
		if (read < size) {
			d->flags |= FLAG_UNREADABLE;
			return 0;
		}
		from += read;
		len -= read;
	}
	if (len) {
		// More than fits on the desk goes ahead in parts.
		d->rest = (struct rest){ from, len };
		bpf_loop(256, take_part, 0, 0);
	}
	return 0;
}

struct vector { u64 base, len; };

// One element of an I/O vector, in either width.
static __always_inline bool read_vector(u64 from, bool narrow, u32 index, struct vector *to)
{
	if (narrow) {
		u32 pair[2] = {};
		if (bpf_probe_read_user(pair, sizeof(pair), (void *)(from + 8 * index)))
			return false;
		to->base = pair[0];
		to->len = pair[1];
		return true;
	}
	return !bpf_probe_read_user(to, sizeof(*to), (void *)(from + 16 * index));
}


static long gather_one(u32 index, void *none)
{
	struct desk *d = desk();
	if (!d)
		return 1;
	struct gather *gather = &d->gather;
	struct vector vector = {};
	if (gather->total >= gather->most)
		return 1;
	if (!read_vector(gather->from, gather->narrow, index, &vector)) {
		d->flags |= FLAG_UNREADABLE;
		return 1;
	}
	u64 left = gather->most - gather->total;
	u64 len = vector.len < left ? vector.len : left;
	if (d->moved < d->limit)
		take(vector.base, len);
	gather->total += len;
	return 0;
}

// Takes what an I/O vector points to, at most `most` bytes in all; counts how much it holds.
__noinline int take_vector(u64 from, u64 count, u64 most, u32 narrow)
{
	struct desk *d = desk();
	if (!d)
		return 0;
	d->gather = (struct gather){ from, most, 0, narrow };
	bpf_loop(count < VECTOR_MAX ? count : VECTOR_MAX, gather_one, 0, 0);
	d->head.total += d->gather.total;
	return 0;
}

// struct msghdr in either width (recvmsg(2), the kernel's compat_msghdr).
struct message { u64 name, name_len, vector, count, control, control_len; };

static __always_inline bool read_message(u64 from, bool narrow, struct message *to)
{
	if (narrow) {
		u32 words[6] = {};
		if (bpf_probe_read_user(words, sizeof(words), (void *)from))
			return false;
		to->name = words[0];
		to->name_len = words[1];
		to->vector = words[2];
		to->count = words[3];
		to->control = words[4];
		to->control_len = words[5];
		return true;
	}
	if (bpf_probe_read_user(to, sizeof(*to), (void *)from))
		return false;
	to->name_len = (u32)to->name_len;
	return true;
}


static long put_one_passed(u32 index, void *none)
{
	struct desk *d = desk();
	if (!d)
		return 1;
	struct passed *passed = &d->passed;
	s32 fd;
	if (bpf_probe_read_user(&fd, sizeof(fd), (void *)(passed->from + 4 * index)))
		return 1;
	put_fd(fd, ROLE_PASSED);
	return 0;
}

// Descriptors that a message passes on (SCM_RIGHTS, unix(7)); one control header is looked at, as senders make one.
static __always_inline void put_passed(struct desk *d, u64 control, u64 len, u32 narrow)
{
	u32 word = narrow ? 4 : 8;
	u32 header[4] = {};
	if (len < word + 12 || bpf_probe_read_user(header, sizeof(header), (void *)control))
		return;
	u32 level = narrow ? header[1] : header[2], type = narrow ? header[2] : header[3];
	u64 size = header[0];
	if (level != 1 || type != 1)
		return;
	if (size > len)
		size = len;
	d->passed.from = control + word + 8;
	bpf_loop(size < word + 12 ? 0 : (size - word - 8) / 4, put_one_passed, 0, 0);
}

// One struct msghdr: whom it goes to, which descriptors it passes, its bytes. Only the first of several says the former.
__noinline int take_message(u64 from, u64 most, u32 narrow, u32 first)
{
	struct desk *d = desk();
	struct message message = {};
	if (!d)
		return 0;
	if (!read_message(from, narrow, &message)) {
		d->flags |= FLAG_UNREADABLE;
		return 0;
	}
	if (first) {
		u32 limit = d->limit;
		put_address(message.name, message.name_len);
		if (message.control && message.control_len)
			put_passed(d, message.control, message.control_len, narrow);
		begin_payload(d, limit);
	}
	take_vector(message.vector, message.count, most, narrow);
	return 0;
}


static long take_one_message(u32 index, void *none)
{
	struct desk *d = desk();
	if (!d)
		return 1;
	struct messages *messages = &d->messages;
	take_message(messages->from + index * (messages->narrow ? 32 : 64), -1ULL, messages->narrow, index == 0);
	return 0;
}


static long put_one_string(u32 index, void *none)
{
	struct desk *d = desk();
	if (!d)
		return 1;
	struct strings *strings = &d->strings;
	u32 at = strings->at, len = strings->len, word = strings->narrow ? 4 : 8;
	u64 pointer = 0;
	if (at >= ITEMS)
		return 1;
	if (bpf_probe_read_user(&pointer, word, (void *)(strings->from + word * index))) {
		d->flags |= FLAG_UNREADABLE;
		return 1;
	}
	if (!pointer)
		return 1;
	if (len > ITEM_MAX - 4096) {
		d->flags |= FLAG_CUT;
		return 1;
	}
	long read = bpf_probe_read_user_str(d->items + at + sizeof(struct item) + len, 4096, (void *)pointer);
	if (read <= 0) {
		d->flags |= FLAG_UNREADABLE;
		return 1;
	}
	strings->len = len + read;
	return 0;
}

// The strings of a NULL-ended array, into one item.
__noinline int put_strings(u64 from, u32 kind, u32 narrow)
{
	struct desk *d = desk();
	if (!d || !from)
		return 0;
	u32 at = d->at;
	if (at >= ITEMS)
		return 0;
	d->strings = (struct strings){ from, at, 0, narrow };
	bpf_loop(1 << 16, put_one_string, 0, 0);
	u32 len = d->strings.len;
	if (len <= ITEM_MAX)
		end_item(d, at, kind, 0, len);
	return 0;
}

// A stretch of the caller's memory as one item.
__noinline int put_stretch(u64 from, u64 end, u32 kind)
{
	struct desk *d = desk();
	if (!d || end <= from)
		return 0;
	u32 at = d->at;
	if (at >= ITEMS) {
		d->flags |= FLAG_CUT;
		return 0;
	}
	u64 len = end - from;
	if (len > ITEM_MAX) {
		len = ITEM_MAX;
		d->flags |= FLAG_CUT;
	}
	u32 read = len;
	if (bpf_probe_read_user(d->items + at + sizeof(struct item), read, (void *)from))
		read = read_pages(d, from, at + sizeof(struct item), read);
	if (read > ITEM_MAX)
		return 0;
	end_item(d, at, kind, 0, read);
	return 0;
}
