// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0-only
//
// Puts together the items of a record on the processor's desk: things and their names, strings, addresses, payload.
//
// The larger ones are functions of their own for the verifier's sake: it checks each once, whatever calls it. They take
// addresses as plain numbers and report nothing but what they leave on the desk.

#pragma once

#include "state.h"

// Magic numbers of file systems (linux/magic.h) and bits of modes (linux/stat.h).
#define PIPEFS 0x50495045
#define SOCKFS 0x534f434b
#define TYPE_BITS 0170000
#define IS_CHARACTER 0020000
#define IS_FIFO 0010000
#define UNIX 1
#define INET 2
#define INET6 10
#define CURRENT_DIRECTORY -100

// Asked for beside a thing's role.
#define POSITIONED 0x200 /* where the descriptor stands is wanted */

// Of whose payload all is kept.
enum { SOFT_NOT = 0, SOFT_FLOWS = 1, SOFT_PLANTED = 2 };

static __always_inline struct item *item_at(struct desk *d, u32 at)
{
	return (struct item *)(d->items + at);
}

static __always_inline void end_item(struct desk *d, u32 at, u16 kind, u16 role, u32 len)
{
	struct item *item = item_at(d, at);
	item->kind = kind;
	item->role = role;
	item->len = len;
	d->at = at + sizeof(struct item) + ((len + 7) & ~7u);
}

static long climb_one(u32 index, void *none)
{
	struct desk *d = desk();
	if (!d)
		return 1;
	struct climb *climb = &d->climb;
	struct dentry *dentry = climb->dentry;
	struct mount *mnt = climb->mnt;
	u32 at = climb->at, len = climb->len;
	if (at >= ITEMS)
		return 1;
	if (dentry == climb->top) {
		struct mount *parent = BPF_CORE_READ(mnt, mnt_parent);
		if (parent == mnt || !parent)
			return 1;
		climb->dentry = BPF_CORE_READ(mnt, mnt_mountpoint);
		climb->mnt = parent;
		climb->top = BPF_CORE_READ(parent, mnt.mnt_root);
		return 0;
	}
	struct dentry *parent = BPF_CORE_READ(dentry, d_parent);
	struct qstr name;
	bpf_probe_read_kernel(&name, sizeof(name), (u8 *)dentry + bpf_core_field_offset(struct dentry, d_name));
	u32 size = name.len;
	if (size > 255)
		size = 255;
	if (len > ITEM_MAX - 264) {
		d->flags |= FLAG_CUT;
		return 1;
	}
	u8 *to = d->items + at + sizeof(struct item) + len;
	*to = size;
	bpf_probe_read_kernel(to + 1, size, name.name);
	climb->len = len + 1 + size;
	climb->dentry = parent;
	return parent == dentry || !parent;
}

// The way from a dentry up to the root of everything, last name first.
static __always_inline void put_name(struct desk *d, u64 mnt_address, u64 dentry_address)
{
	u32 at = d->at;
	if (at >= ITEMS) {
		d->flags |= FLAG_CUT;
		return;
	}
	struct mount *mnt = (void *)(mnt_address - bpf_core_field_offset(struct mount, mnt));
	d->climb.at = at;
	d->climb.len = 0;
	d->climb.mnt = mnt;
	d->climb.dentry = (void *)dentry_address;
	d->climb.top = BPF_CORE_READ(mnt, mnt.mnt_root);
	if (bpf_loop(1024, climb_one, 0, 0) == 1024)
		d->flags |= FLAG_CUT;
	u32 len = d->climb.len;
	if (len <= ITEM_MAX)
		end_item(d, at, ITEM_NAME, 0, len);
}

// Whether this is a file as it is called now, and not as it was when it was first seen.
static __always_inline bool is_new(u32 role)
{
	return (role == ROLE_RESULT || role == ROLE_PROGRAM) && moved();
}

// Says what an inode and the dentry it was reached by are; names it when that has not been done. Returns how soft it is.
__noinline int put_thing(u64 inode_address, u64 mnt, u64 dentry, u64 position, u32 role)
{
	struct desk *d = desk();
	if (!d)
		return SOFT_NOT;
	u32 at = d->at;
	if (at >= ITEMS) {
		d->flags |= FLAG_CUT;
		return SOFT_NOT;
	}
	struct inode *inode = (void *)inode_address;
	struct super_block *super = BPF_CORE_READ(inode, i_sb);
	struct thing *thing = (void *)(d->items + at + sizeof(struct item));
	u64 ino = BPF_CORE_READ(inode, i_ino), magic = BPF_CORE_READ(super, s_magic);
	u32 dev = BPF_CORE_READ(super, s_dev);
	u16 mode = BPF_CORE_READ(inode, i_mode), flags = 0;
	u32 rdev = 0, asset = 0;
	int soft = SOFT_NOT;
	if ((mode & TYPE_BITS) == IS_CHARACTER) {
		// Terminals: majors 4, 5 and 136 to 143 (admin-guide/devices.txt).
		rdev = BPF_CORE_READ(inode, i_rdev);
		u32 major = rdev >> 20;
		if (major == 4 || major == 5 || (major >= 136 && major <= 143))
			soft = SOFT_FLOWS;
	} else if ((mode & TYPE_BITS) == IS_FIFO) {
		soft = SOFT_FLOWS;
	} else if (magic != SOCKFS) {
		struct asset_key key = { ino, dev };
		u32 *index = bpf_map_lookup_elem(&assets, &key);
		if (index) {
			soft = SOFT_PLANTED;
			asset = *index;
		}
	}
	bool name = false;
	if (magic != PIPEFS && magic != SOCKFS) {
		struct thing_key key = { ino, dentry, mnt };
		u32 *told = bpf_map_lookup_elem(&named, &key);
		name = is_new(role) || !told || *told != epoch();
	}
	if (name) {
		struct mount *mount = (void *)(mnt - bpf_core_field_offset(struct mount, mnt));
		u64 namespace = (u64)BPF_CORE_READ(mount, mnt_ns);
		// A mount of the kernel's own has an error for a namespace.
		if (!namespace || namespace >= -4095ULL)
			flags |= THING_INTERNAL;
		flags |= THING_NAMED;
		u32 count = d->untold_count;
		if (count < 4) {
			d->untold[count].ino = ino;
			d->untold[count].dentry = dentry;
			d->untold[count].mnt = mnt;
			d->untold_count = count + 1;
		}
	}
	thing->ino = ino;
	thing->dentry = dentry;
	thing->mnt = mnt;
	thing->magic = magic;
	thing->dev = dev;
	thing->rdev = rdev;
	thing->generation = BPF_CORE_READ(inode, i_generation);
	thing->mode = mode;
	thing->flags = flags;
	thing->position = position;
	thing->asset = asset;
	thing->unused = 0;
	end_item(d, at, ITEM_THING, role, sizeof(*thing));
	if (name)
		put_name(d, mnt, dentry);
	return soft;
}

static __always_inline u8 unix_name(struct unix_sock *sock, u8 *to)
{
	struct unix_address *address = BPF_CORE_READ(sock, addr);
	if (!address)
		return 0;
	s32 len = BPF_CORE_READ(address, len);
	if (len < 2)
		return 0;
	if (len > 110)
		len = 110;
	bpf_probe_read_kernel(to, len, (u8 *)address + bpf_core_field_offset(struct unix_address, name));
	return len;
}

// Whom a socket talks to. Returns how soft it is.
__noinline int put_peer(u64 sock_address)
{
	struct desk *d = desk();
	if (!d)
		return SOFT_NOT;
	u32 at = d->at;
	if (at >= ITEMS) {
		d->flags |= FLAG_CUT;
		return SOFT_NOT;
	}
	struct sock *sk = (void *)sock_address;
	struct peer *peer = (void *)(d->items + at + sizeof(struct item));
	__builtin_memset(peer, 0, 48);
	u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);
	u32 size = 48;
	int soft = SOFT_NOT;
	peer->family = family;
	peer->type = BPF_CORE_READ(sk, sk_type);
	peer->protocol = BPF_CORE_READ(sk, sk_protocol);
	peer->state = BPF_CORE_READ(sk, __sk_common.skc_state);
	if (family == UNIX) {
		struct unix_sock *own = (void *)sk;
		struct unix_sock *other = (void *)BPF_CORE_READ(own, peer);
		peer->connected = other != 0;
		peer->own_len = unix_name(own, peer->names);
		if (other)
			peer->peer_len = unix_name(other, peer->names + 112);
		if (peer->own_len || peer->peer_len)
			size = sizeof(*peer);
		soft = SOFT_FLOWS;
	} else if (family == INET || family == INET6) {
		peer->own_port = BPF_CORE_READ(sk, __sk_common.skc_num);
		peer->peer_port = BPF_CORE_READ(sk, __sk_common.skc_dport);
		if (family == INET) {
			u32 own = BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr), other = BPF_CORE_READ(sk, __sk_common.skc_daddr);
			__builtin_memcpy(peer->own, &own, 4);
			__builtin_memcpy(peer->peer, &other, 4);
			peer->connected = other != 0;
		} else {
			BPF_CORE_READ_INTO(&peer->own, sk, __sk_common.skc_v6_rcv_saddr);
			BPF_CORE_READ_INTO(&peer->peer, sk, __sk_common.skc_v6_daddr);
			u64 high, low;
			__builtin_memcpy(&high, peer->peer, 8);
			__builtin_memcpy(&low, peer->peer + 8, 8);
			peer->connected = high || low;
		}
	}
	end_item(d, at, ITEM_SOCKET, 0, size);
	return soft;
}

static __always_inline struct file *file_of(u32 fd)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct fdtable *table = task->files->fdt;
	struct file *file = 0;
	if (fd < table->max_fds)
		bpf_probe_read_kernel(&file, sizeof(file), table->fd + fd);
	return file;
}

// What a struct path holds, as numbers: the verifier lets no pointer of its own be taken for one.
struct place { u64 mnt, dentry; };

// Inode and place of an open file, in one read where they stand close together, as they do in all kernels so far.
#define NEAR 64
static __always_inline u64 look_into(struct file *file, struct place *place)
{
	u32 inode_at = bpf_core_field_offset(struct file, f_inode), path_at = bpf_core_field_offset(struct file, f_path);
	u64 inode = 0;
	if (inode_at < path_at && path_at - inode_at <= NEAR - 16) {
		u64 words[NEAR / 8];
		bpf_probe_read_kernel(words, path_at - inode_at + 16, (u8 *)file + inode_at);
		inode = words[0];
		u32 word = (path_at - inode_at) / 8;
		place->mnt = words[word];
		place->dentry = words[word + 1];
	} else {
		inode = (u64)BPF_CORE_READ(file, f_inode);
		bpf_probe_read_kernel(place, sizeof(*place), (u8 *)file + path_at);
	}
	return inode;
}

// Says what is at a place, as it is remembered where that still holds. `address` is that of the file or dentry it was
// found by. Returns how soft it is.
static __always_inline int put_place(struct desk *d, u64 address, u64 inode_address, struct place *place, u64 position,
				     u32 role)
{
	struct inode *inode = (void *)inode_address;
	struct recent *recent = &d->recent[(address >> 7) % RECENT];
	u32 before = d->at;
	if (before >= ITEMS) {
		d->flags |= FLAG_CUT;
		return SOFT_NOT;
	}
	struct thing *thing = (void *)(d->items + before + sizeof(struct item));
	if (!is_new(role) && recent->file == address && recent->inode == inode_address && recent->dentry == place->dentry &&
	    recent->thing.mnt == place->mnt && recent->epoch == epoch() && recent->thing.ino == BPF_CORE_READ(inode, i_ino)) {
		*thing = recent->thing;
		thing->position = position;
		thing->flags = 0;
		end_item(d, before, ITEM_THING, role, sizeof(*thing));
		return recent->soft;
	}
	int soft = put_thing(inode_address, place->mnt, place->dentry, position, role);
	recent->file = address;
	recent->inode = inode_address;
	recent->dentry = place->dentry;
	recent->thing = *thing;
	recent->epoch = epoch();
	recent->soft = soft;
	return soft;
}

// Says what an open file is. Returns how soft it is.
static __always_inline int put_file(struct desk *d, u64 address, u32 how)
{
	struct file *file = (void *)address;
	struct place place = {};
	u64 inode = look_into(file, &place);
	u64 position = how & POSITIONED ? BPF_CORE_READ(file, f_pos) : 0;
	u32 before = d->at;
	int soft = put_place(d, address, inode, &place, position, how & 0xff);
	if (before < ITEMS) {
		struct thing *thing = (void *)(d->items + before + sizeof(struct item));
		if (thing->magic == SOCKFS) {
			struct socket *socket = BPF_CORE_READ(file, private_data);
			soft = put_peer((u64)BPF_CORE_READ(socket, sk));
		}
	}
	return soft;
}

// The same of a descriptor of the current task, where it is open.
__noinline int put_fd(u32 fd, u32 how)
{
	struct desk *d = desk();
	struct file *file = file_of(fd);
	if (!d || !file)
		return 0;
	int soft = put_file(d, (u64)file, how);
	if ((how & 0xff) == ROLE_ARGUMENT && d->soft == SOFT_NOT)
		d->soft = soft;
	return 0;
}

// A NUL-ended string of the caller's. Returns its first byte.
__noinline int put_string(u64 from, u32 kind)
{
	struct desk *d = desk();
	if (!d || !from)
		return 0;
	u32 at = d->at;
	if (at >= ITEMS) {
		d->flags |= FLAG_CUT;
		return 0;
	}
	u8 *to = d->items + at + sizeof(struct item);
	long len = bpf_probe_read_user_str(to, 4096, (void *)from);
	if (len <= 0) {
		d->flags |= FLAG_UNREADABLE;
		return 0;
	}
	end_item(d, at, kind, 0, (u32)(len - 1) & 4095);
	return *to;
}

// Where a relative path begins; for an absolute one, the root when it was changed.
static __always_inline void put_base(struct desk *d, s32 directory, bool relative)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct control *own = settings();
	if (!own)
		return;
	if (relative && directory != CURRENT_DIRECTORY) {
		put_fd(directory, ROLE_BASE);
		return;
	}
	struct place place;
	struct fs_struct *fs = BPF_CORE_READ(task, fs);
	u32 at = relative ? bpf_core_field_offset(struct fs_struct, pwd) : bpf_core_field_offset(struct fs_struct, root);
	bpf_probe_read_kernel(&place, sizeof(place), (u8 *)fs + at);
	if (!relative && place.dentry == own->root_dentry && place.mnt == own->root_mnt)
		return;
	struct dentry *dentry = (void *)place.dentry;
	put_place(d, place.dentry, (u64)BPF_CORE_READ(dentry, d_inode), &place, 0, ROLE_BASE);
}

// Bytes of a fixed, small size: a socket address.
__noinline int put_address(u64 from, u32 len)
{
	struct desk *d = desk();
	if (!d || !from || !len)
		return 0;
	u32 at = d->at;
	if (at >= ITEMS)
		return 0;
	if (len > 128)
		len = 128;
	if (bpf_probe_read_user(d->items + at + sizeof(struct item), len, (void *)from)) {
		d->flags |= FLAG_UNREADABLE;
		return 0;
	}
	u8 *address = d->items + at + sizeof(struct item);
	end_item(d, at, ITEM_ADDRESS, 0, len);
	if (len > 2 && address[0] == UNIX && address[1] == 0 && address[2] && address[2] != '/')
		put_base(d, CURRENT_DIRECTORY, true);
	return 0;
}
