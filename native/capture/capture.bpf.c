/* SPDX-License-Identifier: Dual MIT/GPL */
/*
 * Steers the connections of workloads to the daemon and says who opened each one.
 *
 * connect   decides (security rules 1, 2, 5, 6): direct, refused, or rewritten to the daemon's listener on
 *           loopback, with the record of who and where to kept on the socket.
 * sockops   publishes the record when the kernel has chosen the source port and not yet sent the SYN, so that it
 *           is there before the daemon can accept (rule 4).
 * bind      keeps the listener's port for the daemon (rule 3).
 * exec, fork, exit  let a verdict end with its image, and pass on to children (rule 1).
 *
 * Whoever is not concerned must pay next to nothing: the order of the questions in decide() is by price.
 */
#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "kernel.h"
#include "layout.h"
#include "pin.h"

#define AF_INET 2
#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define EACCES 13
#define EADDRINUSE 98
#define ENETUNREACH 101
#define ECONNREFUSED 111
#define QUIC_PORT 443
#define LOOPBACK_IFINDEX 1

#define PASS 1
#define REFUSE 0

#define HEARTBEAT_LIMIT_NS 2000000000ull
#define CGROUP_LEVELS 8

/* Maps ------------------------------------------------------------------------------------------------------- */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct config);
} config SEC(".maps");

/* By network namespace cookie. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __u64);
	__type(value, struct listener);
} listeners SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct candidate);
	__type(value, __u8);
} candidates SEC(".maps");

/*
 * A bit for each port that `destinations` has for anybody: nearly every connect of the host ends there, and a look-up
 * in a table of that size would touch memory that is in no cache.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ports);
} ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct destination);
	__type(value, __u8);
} destinations SEC(".maps");

/* By thread group id. Full: further processes stay unjudged, and each of their connections is attested. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__type(key, __u32);
	__type(value, struct verdict);
} verdicts SEC(".maps");

/*
 * Connections that the daemon has not accepted yet. Not an LRU: one that evicts would let a flood erase the
 * records of its neighbours.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__type(key, struct peer);
	__type(value, struct record);
} records SEC(".maps");

/* Open captured connections by cgroup. An evicted count restarts at 0, which only ever allows more. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u32);
} open_connections SEC(".maps");

struct captured {
	struct record record;
	__u16 proxy_port; /* network order; 0 when the socket is no longer redirected */
	__u16 counted;	  /* in open_connections */
	__u32 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct captured);
} sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

static __noinline void count(enum counter which)
{
	__u32 key = which;
	__u64 *value = bpf_map_lookup_elem(&counters, &key);

	if (value)
		*value += 1;
}

static __always_inline struct config *configuration(void)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&config, &key);
}

/* Who ---------------------------------------------------------------------------------------------------------- */

/* SECURITY: by cgroup, never by process id, so that workers and restarted daemons are covered and nobody else. */
static __always_inline bool in_daemon(const struct config *conf)
{
	return conf->daemon_cgroup &&
	       bpf_get_current_ancestor_cgroup_id(conf->daemon_level) == conf->daemon_cgroup;
}

/* UNJUDGED unless the verdict was given to exactly this image under the present policy. */
static __always_inline __u32 identity_of(const struct process_pin *pin, const struct config *conf)
{
	struct verdict *verdict = bpf_map_lookup_elem(&verdicts, &pin->tgid);

	if (!verdict || verdict->generation != conf->generation || !same_pin(&verdict->pin, pin))
		return UNJUDGED;
	return verdict->identity;
}

static __always_inline bool listed(enum candidate_kind kind, __u32 device, __u64 number, __u64 second)
{
	struct candidate key = { .kind = kind, .device = device, .by = { number, second } };

	return bpf_map_lookup_elem(&candidates, &key);
}

static __always_inline bool is_candidate(const struct process_pin *pin, const struct config *conf)
{
	struct candidate by_name = {};
	__u32 kinds = conf->candidate_kinds;

	if (conf->capture_all)
		return true;
	if (kinds & (1 << BY_EXECUTABLE) && listed(BY_EXECUTABLE, pin->exe_device, pin->exe_inode, 0))
		return true;
	if (kinds & (1 << BY_EXECUTABLE_AND_UID) &&
	    listed(BY_EXECUTABLE_AND_UID, pin->exe_device, pin->exe_inode, pin->uid))
		return true;
	if (kinds & (1 << BY_UID) && listed(BY_UID, 0, pin->uid, 0))
		return true;
	if (kinds & (1 << BY_GID) && listed(BY_GID, 0, pin->gid, 0))
		return true;
	if (kinds & (1 << BY_CGROUP)) {
		/* A unit's or container's processes may sit in cgroups below it, hence one look-up per depth in use. */
		for (int level = 0; level < CGROUP_LEVELS; level++)
			if (conf->candidate_levels & (1 << level) &&
			    listed(BY_CGROUP, 0, bpf_get_current_ancestor_cgroup_id(level), 0))
				return true;
	}
	if (kinds & (1 << BY_NAME)) {
		/* The process's name, not that of the thread that happens to connect. */
		by_name.kind = BY_NAME;
		bpf_core_read_str(by_name.by, sizeof(by_name.by), &bpf_get_current_task_btf()->group_leader->comm);
		return bpf_map_lookup_elem(&candidates, &by_name);
	}
	return false;
}

/* Has user space judge this image: it may only turn an entry that is here, which exec and exit take away. */
static __always_inline void await_verdict(const struct process_pin *pin, const struct config *conf)
{
	struct verdict pending = { .pin = *pin, .generation = conf->generation, .identity = UNJUDGED };

	bpf_map_update_elem(&verdicts, &pin->tgid, &pending, BPF_ANY);
}

/* Where to ------------------------------------------------------------------------------------------------------- */

struct target {
	__u8 address[16];
	__u16 port; /* host order */
	bool ipv6;  /* not IPv4, nor IPv4-mapped */
	bool loopback;
};

static __always_inline void map_ipv4(__u8 *address, __u32 ipv4)
{
	*(__u64 *)address = 0;
	*(__u32 *)(address + 8) = bpf_htonl(0xffff);
	*(__u32 *)(address + 12) = ipv4;
}

/* The unspecified address reaches the host itself, as loopback does. */
static __always_inline bool is_loopback_ipv4(__u32 ipv4)
{
	return ipv4 == 0 || (bpf_ntohl(ipv4) >> 24) == 127;
}

static __always_inline bool is_captured_port(__u16 port)
{
	__u32 key = 0;
	struct ports *captured = bpf_map_lookup_elem(&ports, &key);

	return captured && captured->bits[port >> 6] & (1ull << (port & 63));
}

static __always_inline bool is_captured_destination(__u32 identity, const struct target *to)
{
	struct destination key = { .identity = identity, .port = to->port };

	if (to->loopback)
		__builtin_memcpy(key.address, to->address, sizeof(key.address));
	return bpf_map_lookup_elem(&destinations, &key);
}

static __always_inline bool too_many_open(__u64 cgroup_id, const struct config *conf)
{
	__u32 *open = bpf_map_lookup_elem(&open_connections, &cgroup_id);

	return open && *open >= conf->open_per_cgroup;
}

static __always_inline int refuse(int error, enum counter counter)
{
	count(counter);
	return -error;
}

static __always_inline int direct(enum counter counter)
{
	count(counter);
	return 0;
}

/* Bound to a device (SO_BINDTODEVICE) other than loopback: such a socket cannot reach us, nor we for it its device. */
static __always_inline bool keeps_device(struct bpf_sock_addr *ctx)
{
	return ctx->sk && ctx->sk->bound_dev_if && ctx->sk->bound_dev_if != LOOPBACK_IFINDEX;
}

/* The port (network order) to redirect a stream to, 0 to leave it alone, or the error to refuse it with. */
static __always_inline int decide(struct bpf_sock_addr *ctx, const struct target *to)
{
	struct config *conf = configuration();
	struct captured *socket;
	struct listener *listener;
	struct process_pin pin;
	__u64 netns;
	__u32 identity;

	if (!conf)
		return 0;
	if (!is_captured_port(to->port))
		return direct(DIRECT_PORT);

	pin_task(bpf_get_current_task_btf(), &pin);
	identity = identity_of(&pin, conf);
	if (identity == STRANGER)
		return direct(DIRECT_STRANGER);
	if (in_daemon(conf))
		return 0;
	if (!is_captured_destination(identity, to) || (identity == UNJUDGED && !is_candidate(&pin, conf)))
		return direct(DIRECT_OTHER);
	if (keeps_device(ctx))
		return direct(DIRECT_OTHER);

	/* SECURITY: without a listener of ours, somebody else may listen at the address we would redirect to. */
	netns = bpf_get_netns_cookie(ctx);
	listener = bpf_map_lookup_elem(&listeners, &netns);
	if (!listener)
		return direct(FOREIGN_NETNS);

	if (bpf_ktime_get_ns() > conf->heartbeat_ns + HEARTBEAT_LIMIT_NS)
		return refuse(ECONNREFUSED, REFUSED_DEAD);
	/* Every redirected connect succeeds, so a client that tries both families would never get to IPv4. */
	if (to->ipv6 && !to->loopback && !listener->ipv6_usable)
		return refuse(ENETUNREACH, REFUSED_NO_IPV6);
	if (too_many_open(pin.cgroup_id, conf))
		return refuse(ECONNREFUSED, REFUSED_FLOOD);

	socket = ctx->sk ? bpf_sk_storage_get(&sockets, ctx->sk, 0, BPF_SK_STORAGE_GET_F_CREATE) : 0;
	if (!socket)
		return refuse(ECONNREFUSED, RECORD_LOST);
	if (identity == UNJUDGED)
		await_verdict(&pin, conf);
	socket->record.pin = pin;
	socket->record.socket_cookie = bpf_get_socket_cookie(ctx);
	__builtin_memcpy(socket->record.address, to->address, sizeof(to->address));
	socket->record.port = to->port;
	socket->record.identity = identity;
	socket->record.generation = conf->generation;
	socket->proxy_port = bpf_htons(listener->port);
	count(CAPTURED);
	return socket->proxy_port;
}

/* HTTP/3 would pass us by; refused at once, clients fall back to TCP (rule 7). */
static __always_inline int decide_datagram(struct bpf_sock_addr *ctx)
{
	struct config *conf;
	struct process_pin pin;
	__u64 netns;
	__u32 identity;

	if (ctx->user_port != bpf_htons(QUIC_PORT))
		return PASS;
	conf = configuration();
	if (!conf || in_daemon(conf))
		return PASS;
	pin_task(bpf_get_current_task_btf(), &pin);
	identity = identity_of(&pin, conf);
	if (identity == UNJUDGED || identity == STRANGER)
		return PASS;
	netns = bpf_get_netns_cookie(ctx);
	if (!bpf_map_lookup_elem(&listeners, &netns))
		return PASS;
	bpf_set_retval(refuse(EACCES, REFUSED_QUIC));
	return REFUSE;
}

SEC("cgroup/connect4")
int tideway_connect4(struct bpf_sock_addr *ctx)
{
	struct target to = {};
	int decision;

	if (ctx->type == SOCK_DGRAM)
		return decide_datagram(ctx);
	if (ctx->type != SOCK_STREAM)
		return PASS;
	map_ipv4(to.address, ctx->user_ip4);
	to.port = bpf_ntohs(ctx->user_port);
	to.loopback = is_loopback_ipv4(ctx->user_ip4);
	decision = decide(ctx, &to);
	if (decision < 0) {
		bpf_set_retval(decision);
		return REFUSE;
	}
	if (decision > 0) {
		ctx->user_ip4 = bpf_htonl(0x7f000001);
		ctx->user_port = decision;
	}
	return PASS;
}

SEC("cgroup/connect6")
int tideway_connect6(struct bpf_sock_addr *ctx)
{
	struct target to = {};
	__u32 *words = (__u32 *)to.address;
	bool mapped;
	int decision;

	if (ctx->type == SOCK_DGRAM)
		return decide_datagram(ctx);
	if (ctx->type != SOCK_STREAM)
		return PASS;
	words[0] = ctx->user_ip6[0];
	words[1] = ctx->user_ip6[1];
	words[2] = ctx->user_ip6[2];
	words[3] = ctx->user_ip6[3];
	mapped = !words[0] && !words[1] && words[2] == bpf_htonl(0xffff);
	to.port = bpf_ntohs(ctx->user_port);
	to.ipv6 = !mapped;
	to.loopback = mapped ? is_loopback_ipv4(words[3]) :
			       !words[0] && !words[1] && !words[2] && bpf_ntohl(words[3]) <= 1;
	decision = decide(ctx, &to);
	if (decision < 0) {
		bpf_set_retval(decision);
		return REFUSE;
	}
	if (decision > 0) {
		/* A socket that goes to IPv4 must stay there: it may be bound to an IPv4 address already. */
		ctx->user_ip6[0] = 0;
		ctx->user_ip6[1] = 0;
		ctx->user_ip6[2] = mapped ? bpf_htonl(0xffff) : 0;
		ctx->user_ip6[3] = mapped ? bpf_htonl(0x7f000001) : bpf_htonl(1);
		ctx->user_port = decision;
	}
	return PASS;
}

SEC("cgroup/sendmsg4")
int tideway_sendmsg4(struct bpf_sock_addr *ctx)
{
	return decide_datagram(ctx);
}

SEC("cgroup/sendmsg6")
int tideway_sendmsg6(struct bpf_sock_addr *ctx)
{
	return decide_datagram(ctx);
}

/* getpeername() keeps telling the program where it meant to go: some compare it with what they asked for. */
SEC("cgroup/getpeername4")
int tideway_getpeername4(struct bpf_sock_addr *ctx)
{
	struct captured *socket = ctx->sk ? bpf_sk_storage_get(&sockets, ctx->sk, 0, 0) : 0;

	if (socket && ctx->user_port == socket->proxy_port) {
		ctx->user_ip4 = *(__u32 *)(socket->record.address + 12);
		ctx->user_port = bpf_htons(socket->record.port);
	}
	return PASS;
}

SEC("cgroup/getpeername6")
int tideway_getpeername6(struct bpf_sock_addr *ctx)
{
	struct captured *socket = ctx->sk ? bpf_sk_storage_get(&sockets, ctx->sk, 0, 0) : 0;
	__u32 *words;

	if (socket && ctx->user_port == socket->proxy_port) {
		words = (__u32 *)socket->record.address;
		ctx->user_ip6[0] = words[0];
		ctx->user_ip6[1] = words[1];
		ctx->user_ip6[2] = words[2];
		ctx->user_ip6[3] = words[3];
		ctx->user_port = bpf_htons(socket->record.port);
	}
	return PASS;
}

/* Records -------------------------------------------------------------------------------------------------------- */

static __always_inline void peer_of(struct bpf_sock_ops *ops, struct peer *peer)
{
	__u32 *words = (__u32 *)peer->address;

	peer->netns_cookie = bpf_get_netns_cookie(ops);
	peer->port = ops->local_port;
	if (ops->family == AF_INET) {
		map_ipv4(peer->address, ops->local_ip4);
		return;
	}
	words[0] = ops->local_ip6[0];
	words[1] = ops->local_ip6[1];
	words[2] = ops->local_ip6[2];
	words[3] = ops->local_ip6[3];
}

static __always_inline void count_open(struct captured *socket)
{
	__u64 cgroup_id = socket->record.pin.cgroup_id;
	__u32 *open = bpf_map_lookup_elem(&open_connections, &cgroup_id);
	__u32 none = 0;

	if (!open) {
		bpf_map_update_elem(&open_connections, &cgroup_id, &none, BPF_NOEXIST);
		open = bpf_map_lookup_elem(&open_connections, &cgroup_id);
	}
	if (open) {
		__sync_fetch_and_add(open, 1);
		socket->counted = 1;
	}
}

static __always_inline void count_closed(struct captured *socket)
{
	__u64 cgroup_id = socket->record.pin.cgroup_id;
	__u32 *open = socket->counted ? bpf_map_lookup_elem(&open_connections, &cgroup_id) : 0;

	if (open && *open > 0)
		__sync_fetch_and_add(open, -1);
}

/* The storage stays until the socket goes, or is captured again: to delete it is dear, and nobody waits for it. */
static __always_inline void release(struct captured *socket)
{
	socket->proxy_port = 0;
	socket->counted = 0;
}

SEC("sockops")
int tideway_sockops(struct bpf_sock_ops *ops)
{
	struct captured *socket;
	struct record *published;
	struct peer peer = {};
	struct bpf_sock *sk;

	/* Called several times for every connection of the host: what is not ours has to end here. */
	if (ops->op != BPF_SOCK_OPS_TCP_CONNECT_CB &&
	    (ops->op != BPF_SOCK_OPS_STATE_CB || ops->args[1] != BPF_TCP_CLOSE))
		return PASS;
	sk = ops->sk;
	if (!sk)
		return PASS;
	socket = bpf_sk_storage_get(&sockets, sk, 0, 0);
	if (!socket || !socket->proxy_port)
		return PASS;

	if (ops->op == BPF_SOCK_OPS_TCP_CONNECT_CB) {
		/* Left by an earlier connect of this socket that failed before it got here. */
		if (bpf_ntohl(ops->remote_port) != bpf_ntohs(socket->proxy_port)) {
			release(socket);
			return PASS;
		}
		peer_of(ops, &peer);
		if (bpf_map_update_elem(&records, &peer, &socket->record, BPF_ANY))
			count(RECORD_LOST);
		count_open(socket);
		bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
		return PASS;
	}
	peer_of(ops, &peer);
	published = bpf_map_lookup_elem(&records, &peer);
	if (published && published->socket_cookie == socket->record.socket_cookie)
		bpf_map_delete_elem(&records, &peer);
	count_closed(socket);
	release(socket);
	return PASS;
}

/* The listener's port -------------------------------------------------------------------------------------------- */

static __always_inline bool may_have_port(__u64 netns, __u16 port)
{
	struct listener *listener = bpf_map_lookup_elem(&listeners, &netns);
	struct config *conf;

	if (!listener || listener->port != port)
		return true;
	conf = configuration();
	return conf && in_daemon(conf);
}

static __always_inline int decide_bind(struct bpf_sock_addr *ctx)
{
	if (ctx->type != SOCK_STREAM || may_have_port(bpf_get_netns_cookie(ctx), bpf_ntohs(ctx->user_port)))
		return PASS;
	bpf_set_retval(refuse(EADDRINUSE, REFUSED_BIND));
	return REFUSE;
}

SEC("cgroup/bind4")
int tideway_bind4(struct bpf_sock_addr *ctx)
{
	return decide_bind(ctx);
}

SEC("cgroup/bind6")
int tideway_bind6(struct bpf_sock_addr *ctx)
{
	return decide_bind(ctx);
}

/* A bind to port 0 learns its port here; with SO_REUSEPORT the kernel may choose one that is taken. */
static __always_inline int decide_bound(struct bpf_sock *ctx)
{
	if (ctx->type != SOCK_STREAM || may_have_port(bpf_get_netns_cookie(ctx), ctx->src_port))
		return PASS;
	bpf_set_retval(refuse(EADDRINUSE, REFUSED_BIND));
	return REFUSE;
}

SEC("cgroup/post_bind4")
int tideway_post_bind4(struct bpf_sock *ctx)
{
	return decide_bound(ctx);
}

SEC("cgroup/post_bind6")
int tideway_post_bind6(struct bpf_sock *ctx)
{
	return decide_bound(ctx);
}

/* The life of a verdict -------------------------------------------------------------------------------------------- */

SEC("raw_tp/sched_process_exec")
int tideway_exec(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;

	bpf_map_delete_elem(&verdicts, &tgid);
	return 0;
}

SEC("raw_tp/sched_process_fork")
int tideway_fork(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *parent = (void *)ctx->args[0];
	struct task_struct *child = (void *)ctx->args[1];
	__u32 parent_tgid = BPF_CORE_READ(parent, tgid);
	__u32 child_tgid = BPF_CORE_READ(child, tgid);
	struct verdict *verdict, inherited;

	if (parent_tgid == child_tgid)
		return 0; /* a thread */
	verdict = bpf_map_lookup_elem(&verdicts, &parent_tgid);
	if (!verdict || verdict->identity == UNJUDGED)
		return 0;
	inherited = *verdict;
	inherited.pin.tgid = child_tgid;
	inherited.pin.start_ticks = BPF_CORE_READ(child, group_leader, start_boottime) / NS_PER_TICK;
	bpf_map_update_elem(&verdicts, &child_tgid, &inherited, BPF_ANY);
	return 0;
}

SEC("raw_tp/sched_process_exit")
int tideway_exit(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;

	/* The leader may go before its threads: the process lives as long as any of them. */
	if (BPF_CORE_READ(task, signal, live.counter) == 0)
		bpf_map_delete_elem(&verdicts, &tgid);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
