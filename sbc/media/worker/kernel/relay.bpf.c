// The relay in the kernel: a TC ingress program (direct action) that sends on what belongs to a flow.
//
// Rebuilt byte for byte by Debian's clang 14, in this directory:
//
//   clang -O2 -target bpf -mcpu=v2 -g0 -nostdinc -Wall -Wextra -Werror -c relay.bpf.c -o relay.bpf.o
//
// (-mcpu=v2: with 32-bit registers this compiler spills some of them over what held a pointer, which the verifier
// refuses to a loader without CAP_PERFMON.) Nothing is included: what the program needs of the kernel's interface
// (linux/bpf.h) stands below, so that the object is the same on every machine.
//
// A packet is relayed only if everything about it is plain. Otherwise it is passed up: TC_ACT_UNSPEC, so that other
// filters of the machine and then the socket see it as if we were not there. Only two kinds of packet are dropped:
// those to a flow's address and port that come from elsewhere, and those beyond its packet rate. What is counted, and
// how: `struct slot` and `count_rtp`, which follow sbc/media/worker/slots.py and statistics.py operation by operation.
//
// Two CPUs. A network card keeps one sender's packets on one CPU, so a flow's counters have one writer here. Where
// packets of one flow do come on two CPUs at once, or userland handles one that was passed up at the same time, a count
// may be lost, or a window or a jitter step be made of mixed values, which atomic adds would not prevent; no packet is
// lost by it. Packets of strangers come on any CPU beside the flow's own: FOREIGN alone is added atomically.
//
// Cannot be told: bpf_redirect_neigh sends after the program has returned. A packet that the device then drops has been
// counted as relayed, as one that userland gave to a socket would have been.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef int s32;
typedef unsigned long long u64;
typedef long long s64;

#define SEC(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))
#define BARRIER() asm volatile("" ::: "memory")

// --- the kernel's interface ------------------------------------------------------------------------------------------

struct __sk_buff {  // the beginning of it
	u32 len, pkt_type, mark, queue_mapping, protocol, vlan_present, vlan_tci, vlan_proto, priority;
	u32 ingress_ifindex, ifindex, tc_index, cb[5], hash, tc_classid, data, data_end, napi_id;
	u32 family, remote_ip4, local_ip4, remote_ip6[4], local_ip6[4], remote_port, local_port;
	u32 data_meta;
	u64 flow_keys, tstamp;
	u32 wire_len, gso_segs;
	u64 sk;
	u32 gso_size;
};

struct map {  // read by elf.py
	u32 type, key_size, value_size, max_entries, flags;
};

struct fib {  // struct bpf_fib_lookup
	u8 family, l4_protocol;
	u16 sport, dport, tot_len;
	u32 ifindex;
	u32 tos;  // for IPv6 the first word of the header
	u32 source[4], target[4];
	u16 vlan_proto, vlan_tci;
	u8 smac[6], dmac[6];
};

struct neighbour {  // struct bpf_redir_neigh
	u32 family;
	u32 address[4];
};

enum { MAP_HASH = 1, MAP_ARRAY = 2 };
enum { NO_PREALLOC = 1 << 0, RDONLY_PROG = 1 << 7, MMAPABLE = 1 << 10 };
enum { PASS_UP = -1, DROP = 2 };  // TC_ACT_UNSPEC, TC_ACT_SHOT
enum { PSEUDO_HEADER = 1 << 4, KEEP_ZERO = 1 << 5 };  // BPF_F_PSEUDO_HDR, BPF_F_MARK_MANGLED_0
enum { TO_THIS_HOST = 0, LOOPBACK_DEVICE = 1, INET = 2, INET6 = 10, UDP = 17 };

static void *(*map_lookup)(void *map, const void *key) = (void *)1;
static u64 (*ktime_get_ns)(void) = (void *)5;
static long (*l4_csum_replace)(struct __sk_buff *, u32 offset, u64 from, u64 to, u64 flags) = (void *)11;
static long (*skb_pull_data)(struct __sk_buff *, u32 octets) = (void *)39;
static s64 (*csum_update)(struct __sk_buff *, u32 sum) = (void *)40;
static long (*fib_lookup)(void *, struct fib *, int size, u32 flags) = (void *)69;
static long (*redirect_neigh)(u32 ifindex, struct neighbour *, int size, u64 flags) = (void *)152;

// --- the maps: flow.py packs and reads these -------------------------------------------------------------------------

#define FLOWS 32768
#define SLOTS 32768
#define WORKERS 64

struct address {
	u32 word[4];  // as in the packet; of an IPv4 address the first
};

struct key {  // where a packet comes to
	struct address local;
	u16 port;  // as in the packet, as all ports here
	u8 family;  // 4 or 6
	u8 zero;
};

struct head {
	u32 generation;
	u32 slot;  // index
	u32 ssrc;  // as in the packet
	u32 rate;  // Hz, of the RTP clock
	u32 packets_per_second;  // 0: no limit
	u32 worker;  // index into `alive`
	struct address source, out, target;
	u16 source_port, out_port, target_port;
	u16 tos;  // octet; its ECN bits are 0
	// What the change of both addresses, and of both ports, adds to a ones' complement sum of 16-bit words.
	u32 addresses_sum, ports_sum;
} __attribute__((aligned(8)));

// `types`: what each payload type becomes; AS_USERLAND: passed up.
// `again` equals `head.generation`. An element that was deleted may be filled anew at once, for another call, while a
// program on another CPU still reads it: a packet would go to the wrong peer. It is filled in ascending order and read
// in descending order, so that a mixture shows in unequal generations wherever stores and loads become visible in
// order. That is so on x86 but for its fast string copies, and then the two would have to meet within nanoseconds.
struct flow {
	struct head head;
	u8 types[128];
	u32 again;
	u32 zero;
};

#define AS_USERLAND 255

struct slot {  // sbc/media/worker/slots.py
	u64 packets, octets, last_ns, window;
	u32 timestamp, jitter, jitter_max;
	u16 sequence, bad_sequence;
	u32 ssrc, state;
	s32 lost;
	u32 reordered, duplicates, foreign, excess, second_count;
	u64 second_ns, kernel_packets;
	u32 rtcp_packets, dropped, digits, rtcp_sent, digits_sent, played_packets;
	u64 owner;
};

enum { STARTED = 1, HAS_BAD = 2 };

// Where the packets of a slot's flow go, for a moment: the look-up takes a third of the program's time. It is made
// anew for another generation of the flow, and for a frame that is longer than the one that was asked for, because the
// device's MTU was held against that. The neighbour's address is not in it: bpf_redirect_neigh resolves it.
struct route {
	u64 until;
	u32 generation;
	u32 octets;
	u32 ifindex;
	struct neighbour next;
};

#define ROUTE_NS 250000000ULL

_Static_assert(sizeof(struct key) == 20, "flow.py: KEY");
_Static_assert(sizeof(struct head) == 88, "flow.py: HEAD");
_Static_assert(sizeof(struct flow) == 224, "flow.py: FLOW");
_Static_assert(sizeof(struct slot) == 128, "slots.py: SLOT_OCTETS");
_Static_assert(sizeof(struct route) == 40, "flow.py: ROUTE_OCTETS");
_Static_assert(sizeof(struct fib) == 64, "linux/bpf.h");

// Not preallocated: 32,768 flows would hold 10 MB that few machines ever need.
struct map flows SEC("maps") = {MAP_HASH, sizeof(struct key), sizeof(struct flow), FLOWS, NO_PREALLOC | RDONLY_PROG};
struct map slots SEC("maps") = {MAP_ARRAY, sizeof(u32), sizeof(struct slot), SLOTS, MMAPABLE};
// CLOCK_MONOTONIC in ns until which the flows of each worker are in force.
struct map alive SEC("maps") = {MAP_ARRAY, sizeof(u32), sizeof(u64), WORKERS, RDONLY_PROG};

struct map routes SEC("maps") = {MAP_ARRAY, sizeof(u32), sizeof(struct route), SLOTS, 0};

// bpf_fib_lookup is there for programs under a licence that is compatible with the GPL only.
const char licence[] SEC("license") = "Dual MIT/GPL";

// --- packets ---------------------------------------------------------------------------------------------------------

#define ETHERNET 14
#define SWAP16(x) ((u16)__builtin_bswap16(x))
#define SWAP32(x) ((u32)__builtin_bswap32(x))

struct ipv4 {
	u16 version_tos;  // words, as the checksum has them
	u16 length, id, fragment;
	u8 ttl, protocol;
	u16 check;
	u32 source, target;
};

struct ipv6 {
	u32 version_class_label;
	u16 length;
	u8 next, hops;
	struct address source, target;
};

struct udp {
	u16 source, target, length, check;
};

struct rtp {
	u8 first, second;
	u16 sequence;
	u32 timestamp, ssrc;
};

#define DONT_FRAGMENT 0x0040  // as in the packet
#define FRAGMENTED 0xff3f  // offset and MF
#define VERSION4_IHL5 0x45
#define HOPS 64

// Statistics: the rules stand in statistics.py.
#define MAX_DROPOUT 3000
#define WINDOW_BITS 64
#define SECOND 1000000000ULL
#define STILL_SPEECH (10 * SECOND)
#define MAX_STEP (1 << 24)

INLINE void step_jitter(struct slot *s, u32 timestamp, u64 now, u32 rate)
{
	u64 passed = now - s->last_ns;  // as unsigned: a step back in time is no step either

	if (passed <= STILL_SPEECH) {
		s64 step = (s64)(passed * rate / SECOND) - (s64)(s32)(timestamp - s->timestamp);
		if (step < 0)
			step = -step;
		if (step <= MAX_STEP) {
			u32 jitter = s->jitter;
			jitter += (u32)step - ((jitter + 8) >> 4);
			s->jitter = jitter;
			if (jitter > s->jitter_max)
				s->jitter_max = jitter;
		}
	}
	s->timestamp = timestamp;
	s->last_ns = now;
}

INLINE void start(struct slot *s, u16 sequence, u32 timestamp, u64 now)
{
	s->state = STARTED;
	s->sequence = sequence;
	s->bad_sequence = 0;
	s->window = 1;
	s->timestamp = timestamp;
	s->last_ns = now;
}

INLINE void count_rtp(struct slot *s, const struct head *f, u16 sequence, u32 timestamp, u32 octets, u64 now)
{
	u32 ahead = (u16)(sequence - s->sequence);
	u32 behind = (u16)(s->sequence - sequence);

	s->packets += 1;
	s->octets += octets;
	s->kernel_packets += 1;
	if (!(s->state & STARTED)) {
		s->ssrc = SWAP32(f->ssrc);
		s->jitter = 0;
		start(s, sequence, timestamp, now);
	} else if (ahead - 1 < MAX_DROPOUT) {
		s->lost += ahead - 1;
		s->window = ahead < WINDOW_BITS ? s->window << ahead | 1 : 1;
		s->sequence = sequence;
		step_jitter(s, timestamp, now, f->rate);
	} else if (behind < WINDOW_BITS) {
		u64 bit = 1ULL << behind;
		if (s->window & bit) {
			s->duplicates += 1;
		} else {
			s->window |= bit;
			s->reordered += 1;
			s->lost -= 1;
		}
	} else if (s->state & HAS_BAD && sequence == s->bad_sequence) {
		start(s, sequence, timestamp, now);
	} else {
		s->bad_sequence = sequence + 1;
		s->state |= HAS_BAD;
	}
}

INLINE int is_too_fast(struct slot *s, const struct head *f, u64 now)
{
	if (!f->packets_per_second)
		return 0;
	if (now - s->second_ns >= SECOND) {
		s->second_ns = now;
		s->second_count = 0;
	}
	s->second_count += 1;
	if (s->second_count <= f->packets_per_second)
		return 0;
	s->excess += 1;
	return 1;
}

// Read anew each time: the verifier loses a packet pointer that the compiler keeps as a 32-bit number.
INLINE void *pointer(const u32 *field)
{
	return (void *)(long)*(const volatile u32 *)field;
}

// Whether the frame has so many octets; they are in one piece then. Every pointer into it has to be read anew, and to
// be held against the end once more: a pointer that is given back, or 0, is refused to a loader without CAP_PERFMON.
INLINE int has(struct __sk_buff *skb, u32 octets)
{
	if (pointer(&skb->data) + octets <= pointer(&skb->data_end))
		return 1;
	return skb->len >= octets && skb_pull_data(skb, octets) == 0;
}

INLINE u32 fold(u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

// What the change from one word to another adds to a ones' complement sum (RFC 1624 §3).
INLINE u32 change(u16 from, u16 to)
{
	return (u16)~from + (u32)to;
}

INLINE int differs(const struct address *one, const struct address *other)
{
	return (one->word[0] ^ other->word[0]) | (one->word[1] ^ other->word[1]) | (one->word[2] ^ other->word[2]) |
	       (one->word[3] ^ other->word[3]);
}

// The header as a host of our own would send it: nothing of the sender's identification, flow label or ECN goes on.
INLINE void write_ipv4(struct ipv4 *ip, const struct head *f)
{
	u32 sum = (u16)~ip->check + f->addresses_sum;
	u16 version_tos = VERSION4_IHL5 | f->tos << 8;

	sum += change(ip->version_tos, version_tos) + change(ip->id, 0) + change(ip->fragment, DONT_FRAGMENT);
	sum += change(ip->ttl, HOPS);  // the low octet of its word; the protocol stays
	ip->version_tos = version_tos;
	ip->id = 0;  // RFC 6864 §4.1: an atomic datagram may have any
	ip->fragment = DONT_FRAGMENT;
	ip->ttl = HOPS;
	ip->check = ~fold(sum);
	ip->source = f->out.word[0];
	ip->target = f->target.word[0];
}

// Returns what that adds to the sum of the header, but for the addresses.
INLINE u32 write_ipv6(struct ipv6 *ip, const struct head *f)
{
	u32 old = ip->version_class_label;
	u32 first = SWAP32(6u << 28 | (u32)f->tos << 20);
	u32 sum = change(old, first) + change(old >> 16, first >> 16) + change(ip->hops << 8, HOPS << 8);

	ip->version_class_label = first;
	ip->hops = HOPS;
	ip->source = f->out;
	ip->target = f->target;
	return sum;
}

// Finds the way; not 0 where there is none. As for a packet of our own (iif lo), so that the rules for what this host
// sends hold; lo alone has to allow forwarding for that, and this machine need not be a router.
INLINE long look_up(struct __sk_buff *skb, struct route *route, const struct head *f, const u8 family, u64 now)
{
	struct fib fib = {.family = family == 4 ? INET : INET6, .l4_protocol = UDP, .ifindex = LOOPBACK_DEVICE};

	fib.sport = f->out_port;
	fib.dport = f->target_port;
	fib.tos = family == 4 ? f->tos : SWAP32((u32)f->tos << 20);
	__builtin_memcpy(fib.source, &f->out, sizeof(f->out));
	__builtin_memcpy(fib.target, &f->target, sizeof(f->target));
	if (fib_lookup(skb, &fib, sizeof(fib), 0))
		return -1;
	route->next.family = fib.family;
	__builtin_memcpy(route->next.address, fib.target, sizeof(fib.target));
	route->ifindex = fib.ifindex;
	route->octets = skb->len;
	route->generation = f->generation;
	route->until = now + ROUTE_NS;
	return 0;
}

// --- the program -----------------------------------------------------------------------------------------------------

INLINE int relay_datagram(struct __sk_buff *skb, const u8 family)
{
	const u32 udp_at = ETHERNET + (family == 4 ? sizeof(struct ipv4) : sizeof(struct ipv6));
	const u32 needed = udp_at + sizeof(struct udp) + sizeof(struct rtp);
	if (!has(skb, needed))
		return PASS_UP;
	u8 *frame = pointer(&skb->data);
	if (frame + needed > (u8 *)pointer(&skb->data_end))
		return PASS_UP;
	struct ipv4 *ip4 = (void *)frame + ETHERNET;
	struct ipv6 *ip6 = (void *)frame + ETHERNET;
	struct udp *udp = (void *)frame + udp_at;
	struct rtp *rtp = (void *)udp + sizeof(*udp);

	struct key key = {.port = udp->target, .family = family};
	struct address source = {};
	u32 length;  // of the datagram, as IP has it
	if (family == 4) {
		key.local.word[0] = ip4->target;
		source.word[0] = ip4->source;
		length = SWAP16(ip4->length) - sizeof(*ip4);
	} else {
		key.local = ip6->target;
		source = ip6->source;
		length = SWAP16(ip6->length);
	}
	struct flow *flow = map_lookup(&flows, &key);
	if (!flow)
		return PASS_UP;

	u32 again = flow->again;
	u8 old_type = rtp->second & 127;
	BARRIER();
	u8 type = flow->types[old_type];
	BARRIER();
	struct head f = flow->head;
	if (f.generation != again)
		return PASS_UP;

	u64 *until = map_lookup(&alive, &f.worker);
	u64 now = ktime_get_ns();
	struct slot *slot = map_lookup(&slots, &f.slot);
	if (!until || now >= *until || !slot)
		return PASS_UP;
	// Padding behind the datagram (a short frame), or a length that lies: the socket's code knows what to do.
	if (SWAP16(udp->length) != length || skb->len != udp_at + length)
		return PASS_UP;
	if (udp->source != f.source_port || differs(&source, &f.source)) {
		__sync_fetch_and_add(&slot->foreign, 1);
		return DROP;
	}
	// Not STUN, DTLS or ZRTP (RFC 7983 §7), not RTCP (RFC 5761 §4), and of the source that was locked.
	if (rtp->first >> 6 != 2 || old_type - 64u < 32 || rtp->ssrc != f.ssrc || type == AS_USERLAND)
		return PASS_UP;
	if (family == 6 && !udp->check)  // RFC 8200 §8.1: the socket's code drops it
		return PASS_UP;

	struct route *route = map_lookup(&routes, &f.slot);
	if (!route)
		return PASS_UP;
	if (route->generation != f.generation || now >= route->until || skb->len > route->octets)
		if (look_up(skb, route, &f, family, now))
			return PASS_UP;

	if (is_too_fast(slot, &f, now))
		return DROP;
	u32 octets = length - sizeof(*udp);
	count_rtp(slot, &f, SWAP16(rtp->sequence), SWAP32(rtp->timestamp), octets, now);

	u8 second = (rtp->second & 128) | (type & 127);
	u32 sum = f.ports_sum + change(rtp->second << 8, second << 8);
	u32 beside = 0;  // what the UDP checksum does not make good
	rtp->second = second;
	udp->source = f.out_port;
	udp->target = f.target_port;
	if (family == 4) {
		beside = udp->check ? 0 : sum;
		write_ipv4(ip4, &f);
	} else {
		beside = f.addresses_sum + write_ipv6(ip6, &f);
	}
	// The helpers know whether the checksum is complete, or still to be made by the device (CHECKSUM_PARTIAL: then
	// only the pseudo header's share is there). A UDP checksum of 0 stays 0 (RFC 768), one that becomes 0 gets 0xffff.
	const u32 check_at = udp_at + __builtin_offsetof(struct udp, check);
	if (l4_csum_replace(skb, check_at, 0, f.addresses_sum, PSEUDO_HEADER | KEEP_ZERO) ||
	    l4_csum_replace(skb, check_at, 0, fold(sum), KEEP_ZERO))
		return DROP;
	// A card may have summed up the whole packet (CHECKSUM_COMPLETE). The IPv4 header's own checksum balances its
	// changes; the first call above assumes that, so for IPv6 the addresses are added again here.
	if (beside)
		csum_update(skb, beside);

	struct neighbour next = route->next;
	return redirect_neigh(route->ifindex, &next, sizeof(next), 0);
}

SEC("tc") int relay(struct __sk_buff *skb)
{
	if (skb->pkt_type != TO_THIS_HOST || skb->vlan_present || skb->gso_size || skb->gso_segs > 1)
		return PASS_UP;
	if (skb->protocol == SWAP16(0x0800)) {
		if (!has(skb, ETHERNET + sizeof(struct ipv4)))
			return PASS_UP;
		struct ipv4 *ip = pointer(&skb->data) + ETHERNET;
		if ((void *)(ip + 1) > pointer(&skb->data_end))
			return PASS_UP;
		if ((u8)ip->version_tos != VERSION4_IHL5 || ip->protocol != UDP || ip->fragment & FRAGMENTED)
			return PASS_UP;
		return relay_datagram(skb, 4);
	}
	if (skb->protocol == SWAP16(0x86dd)) {
		if (!has(skb, ETHERNET + sizeof(struct ipv6)))
			return PASS_UP;
		struct ipv6 *ip = pointer(&skb->data) + ETHERNET;
		if ((void *)(ip + 1) > pointer(&skb->data_end))
			return PASS_UP;
		if (ip->next != UDP)  // extension headers, fragments among them
			return PASS_UP;
		return relay_datagram(skb, 6);
	}
	return PASS_UP;
}
