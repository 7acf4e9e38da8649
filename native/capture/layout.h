/* SPDX-License-Identifier: Dual MIT/GPL */
/*
 * What the programs and user space exchange. Mirrored by src/daemon/capture/layout.ts; the loader compares the
 * sizes below with those of the maps, and a unit test compares the mirror with the packed object.
 */
#pragma once

#include <linux/types.h>

/* Identity numbers in verdicts, records and destinations: user space numbers its identities from 1. */
#define UNJUDGED 0u
#define STRANGER 0xffffffffu

/* One image of one process: what a verdict holds for (design invariant 2). */
struct process_pin {
	__u64 start_ticks; /* of the thread group leader, 100 Hz since boot, as in /proc/PID/stat */
	__u64 exe_inode;
	__u64 cgroup_id; /* cgroup v2 */
	__u64 image;	 /* counts execve: the same binary executed again is another image */
	__u32 exe_device; /* of the super block, major << 20 | minor */
	__u32 uid;	 /* real ones, in the initial user namespace */
	__u32 gid;
	__u32 effective_uid;
	__u32 effective_gid;
	__u32 tgid; /* in the initial pid namespace */
};

struct verdict {
	struct process_pin pin;
	__u32 generation; /* of the policy it was given under */
	__u32 identity;
};

struct config {
	__u64 heartbeat_ns; /* CLOCK_MONOTONIC when the daemon last said that it lives; 0: not running */
	__u64 daemon_cgroup;
	__u32 daemon_level; /* depth of that cgroup */
	__u32 generation;
	__u32 candidate_kinds;	/* bit per kind that `candidates` has entries of */
	__u32 candidate_levels; /* bit per depth at which it has cgroups */
	__u32 capture_all;
	__u32 open_per_cgroup; /* bound on open captured connections */
};

struct ports {
	__u64 bits[1024]; /* port 0 is the lowest of the first */
};

struct listener {
	__u16 port; /* host order */
	__u16 ipv6_usable;
};

enum candidate_kind { BY_EXECUTABLE, BY_CGROUP, BY_UID, BY_GID, BY_NAME, BY_EXECUTABLE_AND_UID };

struct candidate {
	enum candidate_kind kind;
	__u32 device; /* of an executable, else 0 */
	__u64 by[2];  /* inode, cgroup id, uid or gid, and 0; inode and uid; or the name in 16 bytes. No union: its rest
		       * stays unset */
};

/* `address` is zero for every destination but loopback ones, which are captured only one by one. */
struct destination {
	__u32 identity; /* UNJUDGED: the union over all identities */
	__u16 port;	/* host order */
	__u16 reserved;
	__u8 address[16]; /* IPv6, or IPv4-mapped */
};

/* The client's end of a redirected connection, which is the remote end that the daemon sees at accept. */
struct peer {
	__u64 netns_cookie;
	__u8 address[16];
	__u16 port; /* host order */
	__u16 reserved[3];
};

struct record {
	struct process_pin pin;
	__u64 socket_cookie;
	__u8 address[16]; /* where it was meant to go */
	__u16 port;	  /* host order */
	__u16 reserved;
	__u32 identity; /* as known to the kernel at connect */
	__u32 generation;
	__u32 reserved2;
};

enum counter {
	CAPTURED,
	DIRECT_PORT,	  /* no Service names the port: nothing else was looked at */
	DIRECT_STRANGER,  /* by verdict */
	DIRECT_OTHER,	  /* not a candidate, not a port of this identity, or bound to a device */
	FOREIGN_NETNS,	  /* would be captured, but we do not listen in its network namespace */
	REFUSED_DEAD,
	REFUSED_FLOOD,
	REFUSED_NO_IPV6,
	REFUSED_QUIC,
	REFUSED_BIND,
	RECORD_LOST, /* no room to say who connects: refused, or reset by the daemon */
	COUNTERS,
};
