// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//
// The kernel's half of the ebpf witness: sees every system call of the session's tasks, and hands one record of each
// to belljar when it has returned.
//
// Whose calls: a task is the session's when it has a state, which only fork gives on (and the subject's first exec
// begins). A call that leaves without having entered was answered by a filter: tracepoints lie behind seccomp.

#include "tls.h"
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual MIT/GPL";

#define EXECVE 59
#define EXECVEAT 322
#define X32 0x40000000
#define NARROW 2 /* TS_COMPAT: the call came in by the 32-bit way (asm/thread_info.h) */
#define SIGNAL_GROUP_EXIT 4
#define TICK 10000000 /* nanoseconds of a clock tick as /proc counts them (USER_HZ) */

static __always_inline const volatile struct plan *plan_of(u32 abi, u32 nr)
{
	return nr < NUMBERS ? &plans[abi == 1][nr] : 0;
}

// Fields are read through the program's own pointers only where every call comes by: the verifier looks up the type of
// each such read among all of the kernel's (a millisecond), where a read by address costs ten nanoseconds when it is made.

// The id a task has in the jail.
static __always_inline u32 id_in_jail(struct pid *pid, u32 level)
{
	s32 nr = 0;
	if (BPF_CORE_READ(pid, level) < level || level > 32)
		return 0;
	u64 at = (u64)pid + bpf_core_field_offset(struct pid, numbers) + (u64)level * bpf_core_type_size(struct upid) +
		 bpf_core_field_offset(struct upid, nr);
	bpf_probe_read_kernel(&nr, sizeof(nr), (void *)at);
	return nr;
}

static __always_inline struct desk *take_desk(void)
{
	struct desk *d = desk();
	if (!d)
		return 0;
	if (d->busy) {
		// A kernel on which this can be interrupted by itself.
		count_lost();
		return 0;
	}
	d->busy = 1;
	d->at = 0;
	d->flags = 0;
	d->soft = SOFT_NOT;
	d->payload_at = 0;
	d->payload_len = 0;
	d->untold_count = 0;
	return d;
}

static __always_inline void begin_record(struct desk *d, u8 type, struct task_state *state)
{
	d->head.type = type;
	d->head.abi = state->abi;
	d->head.nr = state->nr;
	d->head.process = state->process;
	d->head.tid = state->tid;
	d->head.total = 0;
	d->head.result = 0;
	d->head.duration = 0;
}

static __always_inline void end_record(struct desk *d)
{
	u32 size = d->at;
	d->head.flags = d->flags;
	if (size <= ITEMS + 2 * ITEM_MAX && hand(d, &d->head, sizeof(struct head) + size)) {
		u32 now = epoch();
		for (int i = 0; i < 4; i++) {
			if (i < d->untold_count)
				bpf_map_update_elem(&named, &d->untold[i], &now, BPF_ANY);
		}
	}
	d->busy = 0;
}

// Tells of a process that has begun.
static __always_inline void tell_of_birth(struct task_struct *task, u32 process, u32 parent, u32 pid)
{
	struct desk *d = take_desk();
	if (!d)
		return;
	d->head.type = RECORD_FORK;
	d->head.process = process;
	d->head.tid = pid;
	d->head.time = bpf_ktime_get_ns();
	d->head.args[0] = parent;
	d->head.args[1] = pid;
	d->head.args[2] = BPF_CORE_READ(task, tgid);
	d->head.args[3] = BPF_CORE_READ(task, start_boottime) / TICK;
	end_record(d);
}

// The subject's first exec: from here on its task is the session's.
static __always_inline struct task_state *adopt(struct task_struct *task)
{
	struct control *own = settings();
	if (!own || !own->init_tgid || (u32)BPF_CORE_READ(task, real_parent, tgid) != own->init_tgid)
		return 0;
	struct task_state *state = bpf_task_storage_get(&tasks, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!state)
		return 0;
	struct pid *pid = BPF_CORE_READ(task, thread_pid);
	if (!own->root_dentry) {
		own->level = BPF_CORE_READ(pid, level);
		struct place root;
		struct fs_struct *fs = BPF_CORE_READ(task, fs);
		bpf_probe_read_kernel(&root, sizeof(root), (u8 *)fs + bpf_core_field_offset(struct fs_struct, root));
		own->root_dentry = root.dentry;
		own->root_mnt = root.mnt;
	}
	state->process = __sync_fetch_and_add(&own->next_key, 1);
	state->tid = id_in_jail(pid, own->level);
	tell_of_birth(task, state->process, 0, state->tid);
	return state;
}

// One step of a call's plan. `ret` is negative when the call failed.
static __always_inline void put_step(struct desk *d, u32 op, u32 a, u32 b, s64 ret, bool narrow)
{
	if (a > 5)
		return;
	u64 value = d->head.args[a], other = b < 6 ? d->head.args[b] : 0;
	if (op == OP_FD || op == OP_FD_AT) {
		put_fd(value, ROLE_ARGUMENT | (op == OP_FD_AT ? POSITIONED : 0));
		return;
	}
	u32 in_limit = everything || d->soft == SOFT_FLOWS ? whole : capture;
	u32 out_limit = everything ? whole : d->soft == SOFT_PLANTED ? capture : keep;
	switch (op) {
	case OP_NEWFD:
		if (ret >= 0)
			put_fd(ret, ROLE_RESULT);
		break;
	case OP_PATH: {
		int first = put_string(value, ITEM_PATH);
		put_base(d, b < 6 ? (s32)other : CURRENT_DIRECTORY, first != '/');
		break;
	}
	case OP_TEXT:
		put_string(value, ITEM_TEXT);
		break;
	case OP_ADDRESS:
		put_address(value, other);
		break;
	case OP_IN:
		d->head.total = other;
		begin_payload(d, in_limit);
		take(value, other);
		break;
	case OP_OUT:
		if (ret > 0) {
			d->head.total = ret;
			begin_payload(d, out_limit);
			take(value, ret);
		}
		break;
	case OP_IN_VECTOR:
		begin_payload(d, in_limit);
		take_vector(value, other, -1ULL, narrow);
		break;
	case OP_OUT_VECTOR:
		if (ret > 0) {
			begin_payload(d, out_limit);
			take_vector(value, other, ret, narrow);
		}
		break;
	case OP_IN_MESSAGE:
		d->limit = in_limit;
		take_message(value, -1ULL, narrow, true);
		break;
	case OP_OUT_MESSAGE:
		d->limit = out_limit;
		if (ret >= 0)
			take_message(value, ret, narrow, true);
		break;
	case OP_IN_MESSAGES:
		d->messages = (struct messages){ value, narrow };
		d->limit = in_limit;
		bpf_loop(other < VECTOR_MAX ? other : VECTOR_MAX, take_one_message, 0, 0);
		break;
	case OP_OFFSET: {
		u32 at = d->at;
		if (!value || at >= ITEMS)
			break;
		u64 *to = (u64 *)(d->items + at + sizeof(struct item));
		*to = 0;
		bpf_probe_read_user(to, b == 4 ? 4 : 8, (void *)value);
		end_item(d, at, ITEM_OFFSET, 0, sizeof(*to));
		break;
	}
	case OP_ARGV:
		put_strings(value, ITEM_ARGV, narrow);
		break;
	case OP_ENV:
		put_strings(value, ITEM_ENV, narrow);
		break;
	}
}

// Reads everything the table says of a call.
static __always_inline void put_all(struct desk *d, const volatile struct plan *plan, s64 ret, bool narrow)
{
	for (int i = 0; i < STEPS; i++) {
		if (plan->steps[i].op == OP_NONE)
			break;
		put_step(d, plan->steps[i].op, plan->steps[i].a, plan->steps[i].b, ret, narrow);
	}
	end_payload(d);
}

// What a call is about to close. Mostly two numbers say it, which the task keeps until the call returns; what needs more
// words goes ahead.
static __always_inline void look_early(struct task_state *state)
{
	struct desk *d = take_desk();
	if (!d)
		return;
	begin_record(d, RECORD_EARLY, state);
	put_fd(state->args[0], ROLE_ARGUMENT);
	if (d->at == sizeof(struct item) + sizeof(struct thing)) {
		struct thing *thing = (void *)(d->items + sizeof(struct item));
		if (thing->magic != SOCKFS) {
			state->early = *thing;
			state->kept = 1;
		}
	}
	if (d->at && !state->kept)
		end_record(d);
	else
		d->busy = 0;
}

static __always_inline void read_narrow(struct pt_regs *regs, u64 *args)
{
	args[0] = (u32)BPF_CORE_READ(regs, bx);
	args[1] = (u32)BPF_CORE_READ(regs, cx);
	args[2] = (u32)BPF_CORE_READ(regs, dx);
	args[3] = (u32)BPF_CORE_READ(regs, si);
	args[4] = (u32)BPF_CORE_READ(regs, di);
	args[5] = (u32)BPF_CORE_READ(regs, bp);
}

SEC("tp_btf/sys_enter")
int BPF_PROG(enter, struct pt_regs *regs, long number)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_state *state = bpf_task_storage_get(&tasks, task, 0, 0);
	if (!state) {
		if (number != EXECVE && number != EXECVEAT)
			return 0;
		state = adopt(task);
		if (!state)
			return 0;
	}
	u32 narrow = task->thread_info.status & NARROW, nr = number;
	u32 abi = narrow ? 1 : nr & X32 ? 2 : 0;
	nr &= ~X32;
	const volatile struct plan *plan = abi == 2 ? 0 : plan_of(abi, nr);
	u8 class = plan ? plan->class : CLASS_UNKNOWN;
	if (class == CLASS_QUIET) {
		u8 index = plan->quiet;
		state->phase = QUIETLY;
		state->counted = 1;
		if (index < QUIETS)
			state->quiet[index]++;
		return 0;
	}
	state->phase = INSIDE;
	state->nr = nr;
	state->abi = abi;
	state->began = bpf_ktime_get_ns();
	if (narrow) {
		read_narrow(regs, state->args);
	} else {
		state->args[0] = regs->di;
		state->args[1] = regs->si;
		state->args[2] = regs->dx;
		state->args[3] = regs->r10;
		state->args[4] = regs->r8;
		state->args[5] = regs->r9;
	}
	if (plan && (plan->marks & MARK_EARLY))
		look_early(state);
	if (class == CLASS_LAST) {
		struct desk *d = take_desk();
		if (!d)
			return 0;
		begin_record(d, RECORD_CALL, state);
		d->head.time = state->began;
		__builtin_memcpy(d->head.args, state->args, sizeof(state->args));
		d->flags = FLAG_NO_RESULT;
		end_record(d);
		state->phase = LEFT;
	}
	return 0;
}

// The planted files, as belljar opens them before the subject begins.
static __always_inline void prime(long ret)
{
	struct control *own = settings();
	if (!own || !own->priming || ret < 0)
		return;
	struct file *file = file_of(ret);
	if (!file)
		return;
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	struct asset_key key = { BPF_CORE_READ(inode, i_ino), BPF_CORE_READ(inode, i_sb, s_dev) };
	bpf_map_update_elem(&assets, &key, &own->priming, BPF_ANY);
}

// The arguments that two calls of i386 keep in memory.
static __always_inline void unpack(struct desk *d, u64 from, u32 count)
{
	u32 words[6] = {};
	if (bpf_probe_read_user(words, sizeof(words), (void *)from)) {
		// They may stand at the end of what can be read.
		for (u32 i = 0; i < 6 && i < count; i++)
			bpf_probe_read_user(&words[i], 4, (void *)(from + 4 * i));
	}
	for (u32 i = 0; i < 6; i++)
		d->head.args[i] = i < count ? words[i] : 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(leave, struct pt_regs *regs, long ret)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_state *state = bpf_task_storage_get(&tasks, task, 0, 0);
	if (!state) {
		if (priming_tid && (u32)bpf_get_current_pid_tgid() == priming_tid)
			prime(ret);
		return 0;
	}
	u8 phase = state->phase;
	state->phase = OUTSIDE;
	if (phase == QUIETLY || phase == NEWBORN || phase == LEFT)
		return 0;
	u64 now = bpf_ktime_get_ns();
	struct desk *d = take_desk();
	if (!d)
		return 0;
	if (phase == OUTSIDE) {
		u32 narrow = BPF_CORE_READ(task, thread_info.status) & NARROW, nr = BPF_CORE_READ(regs, orig_ax);
		state->abi = narrow ? 1 : nr & X32 ? 2 : 0;
		state->nr = nr & ~X32;
		state->began = now;
		if (narrow) {
			read_narrow(regs, state->args);
		} else {
			state->args[0] = BPF_CORE_READ(regs, di);
			state->args[1] = BPF_CORE_READ(regs, si);
			state->args[2] = BPF_CORE_READ(regs, dx);
			state->args[3] = BPF_CORE_READ(regs, r10);
			state->args[4] = BPF_CORE_READ(regs, r8);
			state->args[5] = BPF_CORE_READ(regs, r9);
		}
		d->flags = FLAG_NO_ENTER;
	}
	bool narrow = state->abi == 1;
	const volatile struct plan *plan = state->abi == 2 ? 0 : plan_of(state->abi, state->nr);
	if (plan && (plan->marks & MARK_MOVES) && ret >= 0) {
		u32 zero = 0, *moved = bpf_map_lookup_elem(&moves, &zero);
		if (moved)
			__sync_fetch_and_add(moved, 1);
	}
	begin_record(d, RECORD_CALL, state);
	d->head.time = state->began;
	d->head.duration = now - state->began;
	d->head.result = narrow ? (s64)(s32)ret : ret;
	__builtin_memcpy(d->head.args, state->args, sizeof(state->args));
	if (plan && plan->class == CLASS_SOCKETCALL) {
		u32 operation = state->args[0];
		if (operation > 20)
			operation = 0;
		plan = &socket_plans[operation];
		d->head.nr |= operation << 16;
		unpack(d, state->args[1], plan->count);
	} else if (plan && plan->class == CLASS_PACKED) {
		unpack(d, state->args[0], plan->count);
	}
	if (state->kept) {
		state->kept = 0;
		*(struct thing *)(d->items + sizeof(struct item)) = state->early;
		end_item(d, 0, ITEM_THING, ROLE_ARGUMENT, sizeof(struct thing));
	} else if (plan && !(plan->marks & MARK_EARLY))
		put_all(d, plan, d->head.result, narrow);
	end_record(d);
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(forked, struct task_struct *parent, struct task_struct *child)
{
	struct task_state *state = bpf_task_storage_get(&tasks, parent, 0, 0);
	if (!state)
		return 0;
	struct control *own = settings();
	struct task_state *born = bpf_task_storage_get(&tasks, child, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!own || !born) {
		// Without a state nothing of it would be seen: the whole of it is lost.
		count_lost();
		return 0;
	}
	born->phase = NEWBORN;
	born->tid = id_in_jail(BPF_CORE_READ(child, thread_pid), own->level);
	if (BPF_CORE_READ(child, tgid) == BPF_CORE_READ(parent, tgid)) {
		born->process = state->process;
		return 0;
	}
	born->process = __sync_fetch_and_add(&own->next_key, 1);
	tell_of_birth(child, born->process, state->process, born->tid);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(executed, struct task_struct *task, s32 old_pid, struct linux_binprm *binprm)
{
	struct task_state *state = bpf_task_storage_get(&tasks, task, 0, 0);
	struct control *own = settings();
	if (!state || !own)
		return 0;
	// Where another thread than the leader called it, it is the leader now.
	state->tid = id_in_jail(BPF_CORE_READ(task, thread_pid), own->level);
	struct desk *d = take_desk();
	if (!d)
		return 0;
	u64 now = bpf_ktime_get_ns();
	begin_record(d, RECORD_EXEC, state);
	d->head.time = state->began;
	d->head.duration = now - state->began;
	__builtin_memcpy(d->head.args, state->args, sizeof(state->args));
	long len = bpf_probe_read_kernel_str(d->items + sizeof(struct item), 4096, BPF_CORE_READ(binprm, filename));
	if (len > 0) {
		u8 first = d->items[sizeof(struct item)];
		end_item(d, 0, ITEM_PATH, 0, (u32)(len - 1) & 4095);
		put_base(d, CURRENT_DIRECTORY, first != '/');
	}
	struct mm_struct *mm = BPF_CORE_READ(task, mm);
	put_file(d, (u64)BPF_CORE_READ(mm, exe_file), ROLE_PROGRAM);
	put_stretch(BPF_CORE_READ(mm, arg_start), BPF_CORE_READ(mm, arg_end), ITEM_ARGV);
	put_stretch(BPF_CORE_READ(mm, env_start), BPF_CORE_READ(mm, env_end), ITEM_ENV);
	end_record(d);
	state->phase = LEFT;
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(ended, struct task_struct *task)
{
	struct task_state *state = bpf_task_storage_get(&tasks, task, 0, 0);
	if (!state)
		return 0;
	if (state->counted) {
		struct desk *d = take_desk();
		if (d) {
			begin_record(d, RECORD_QUIET, state);
			d->head.time = bpf_ktime_get_ns();
			bpf_probe_read_kernel(d->items + sizeof(struct item), sizeof(state->quiet), state->quiet);
			end_item(d, 0, ITEM_PAYLOAD, 0, sizeof(state->quiet));
			end_record(d);
		}
	}
	struct signal_struct *signal = BPF_CORE_READ(task, signal);
	if (BPF_CORE_READ(signal, live.counter) > 0)
		return 0;
	struct desk *d = take_desk();
	if (!d)
		return 0;
	begin_record(d, RECORD_END, state);
	d->head.time = bpf_ktime_get_ns();
	d->head.args[0] = (u32)(BPF_CORE_READ(signal, flags) & SIGNAL_GROUP_EXIT ? BPF_CORE_READ(signal, group_exit_code) :
									   BPF_CORE_READ(task, group_leader, exit_code));
	end_record(d);
	return 0;
}
