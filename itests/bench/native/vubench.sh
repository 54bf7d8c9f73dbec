#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# vubench.sh - measures a vhost-user-net device that is connected to a TAP.
#
#   vubench.sh --name NAME [options] -- SERVER COMMAND...
#
# The server is started in a network namespace of its own.  In its command these are replaced:
#   {sock} vhost-user socket path   {tap} TAP name   {ns} namespace   {dir} scratch directory
# The generator plays the guest: vuload (this directory), optionally testpmd's virtio-user.
#
# Options
#   --runs N         repetitions of every test (3)
#   --secs S         measured seconds per repetition (3)
#   --tests LIST     of: idle tx rx both lat tso gen restart (default: idle tx rx both lat tso)
#   --sizes LIST     frame sizes without FCS (64 1500)
#   --scpu/--gcpu N  CPU of the server (0; "any": not pinned) and of the generator (1)
#   --listen         the server connects to us (it is the socket's client)
#   --persist K      TAP made beforehand: none (default), sq, mq (multi_queue)
#   --tap NAME       the TAP's name, or another interface to count on (vubtap0)
#   --up CMD         run once the server is ready (default: address and link up on the TAP)
#   --down CMD       run after the server was stopped, with the same replacements
#   --pidfile F      the server's pid is in this file, not the started process's
#   --prewarm S      seconds of traffic both ways before the first measurement (JITs)
#   --vuload ARGS    more arguments for vuload (e.g. "--disable event_idx")
#   --reconnect MS   restart test: the front end retries this often (1)
#   --signal S       restart test: how the server is stopped (TERM)
#   --out FILE       append JSON lines here (results.jsonl)
set -u
here=$(cd "$(dirname "$0")" && pwd)
runs=3 secs=3 tests="idle tx rx both lat tso" sizes="64 1500" scpu=0 gcpu=1 listen= persist=none up= down= pidfile=
prewarm=0 tap=vubtap0 name=server out=$here/results.jsonl extra= reconnect=1 signal=TERM
while [ $# -gt 0 ]; do
	case $1 in
	--) shift; break ;;
	--listen) listen=--listen; shift ;;
	--vuload) extra=$2; shift 2 ;;
	--runs | --secs | --tests | --sizes | --scpu | --gcpu | --persist | --tap | --up | --down | --pidfile | --prewarm | --name | --out | --reconnect | --signal)
		declare "${1#--}=$2"; shift 2 ;;
	*) echo "vubench: unknown option $1" >&2; exit 2 ;;
	esac
done
[ $# -gt 0 ] || { sed -n '2,/^set/p' "$0" | sed 's/^# \?//;$d'; exit 2; }

ns=vub$$ dir=$(mktemp -d /tmp/vubench.XXXXXX)
sock=$dir/vu.sock
spid= lpid=
subst() { local s=$1; s=${s//\{sock\}/$sock}; s=${s//\{tap\}/$tap}; s=${s//\{ns\}/$ns}; s=${s//\{dir\}/$dir}; printf %s "$s"; }
cmd=()
for a in "$@"; do cmd+=("$(subst "$a")"); done
[ -n "$pidfile" ] && pidfile=$(subst "$pidfile")

cleanup() {
	stop_server TERM
	[ -n "$down" ] && ip netns exec "$ns" bash -c "$(subst "$down")"
	ip netns del "$ns" 2>/dev/null
	exec 8>&-
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

ip netns add "$ns" || exit 1
ip -n "$ns" link set lo up
mkfifo "$dir/stdin"
exec 8<>"$dir/stdin"        # testpmd leaves when its stdin ends
case $persist in
sq) ip -n "$ns" tuntap add dev $tap mode tap vnet_hdr ;;
mq) ip -n "$ns" tuntap add dev $tap mode tap multi_queue ;;
esac

pin() { if [ "$1" = any ]; then shift; exec "$@"; else exec taskset -c "$1" "${@:2}"; fi; }

server_pid() { if [ -n "$pidfile" ]; then cat "$pidfile" 2>/dev/null; else echo "$lpid"; fi; }

start_server() {
	(pin "$scpu" ip netns exec "$ns" "${cmd[@]}" <&8 8<&- >>"$dir/server.log" 2>&1) &
	lpid=$!
}

tap_up() {
	if [ -n "$up" ]; then
		ip netns exec "$ns" bash -c "$(subst "$up")"
	else
		ip netns exec "$ns" sysctl -qw net.ipv6.conf.$tap.disable_ipv6=1
		ip -n "$ns" addr add 192.0.2.1/24 dev $tap 2>/dev/null
		ip -n "$ns" link set $tap up
	fi
}

wait_server() {
	local i
	for i in $(seq 300); do
		if [ -n "$listen" ] || [ -S "$sock" ]; then
			ip -n "$ns" link show $tap >/dev/null 2>&1 && spid=$(server_pid) && [ -n "$spid" ] && break
		fi
		kill -0 "$lpid" 2>/dev/null || { echo "vubench: server ended:" >&2; tail -20 "$dir/server.log" >&2; exit 1; }
		sleep 0.1
	done
	sleep 0.5
	tap_up
}

stop_server() {   # $1: signal
	local p=${spid:-$lpid} i
	[ -n "$p" ] && kill -"$1" "$p" 2>/dev/null
	for i in $(seq 100); do kill -0 "$p" 2>/dev/null || break; sleep 0.05; done
	kill -KILL "$p" 2>/dev/null
	[ -n "$lpid" ] && { kill -TERM "$lpid" 2>/dev/null; wait "$lpid" 2>/dev/null; }
	spid= lpid=
}

# time_ns rx_packets rx_bytes tx_packets tx_bytes cpu_ns (of the server and its TAP) busy_ticks (of the machine)
sample() {
	local cpu=0 f v rest line t busy u n y
	for f in /proc/$spid/task/*/schedstat; do read -r v rest <"$f" 2>/dev/null && cpu=$((cpu + v)); done
	read -r f u n y rest </proc/stat
	set -- $rest
	busy=$((u + n + y + $3 + $4 + $5))
	t=$(date +%s%N)
	while read -r line; do
		case $line in "$tap:"*) set -- ${line#*:}; echo "$t $2 $1 ${10} $9 $cpu $busy"; return ;; esac
	done <"/proc/$spid/net/dev"
	echo "$t 0 0 0 0 $cpu $busy"
}

# emit TEST RUN BEFORE AFTER EXTRA-JSON
emit() {
	awk -v name="$name" -v test="$1" -v run="$2" -v a="$3" -v b="$4" -v extra="$5" 'BEGIN {
		split(a, x, " "); split(b, y, " "); s = (y[1] - x[1]) / 1e9;
		rx = y[2] - x[2]; tx = y[4] - x[4]; cpu = y[6] - x[6]; n = rx + tx;
		gen = match(extra, /"own_cpu":[0-9.]+/) ? substr(extra, RSTART + 10, RLENGTH - 10) : 0;
		other = (y[7] - x[7]) / 100 / s - cpu / 1e9 / s - gen;
		printf "{\"name\":\"%s\",\"test\":\"%s\",\"run\":%d,\"to_tap_pps\":%.0f,\"to_tap_gbps\":%.3f,\"from_tap_pps\":%.0f,\"from_tap_gbps\":%.3f,\"cpu\":%.3f,\"cpu_ns_pkt\":%s,\"other_cpu\":%.2f,\"gen\":%s}\n",
			name, test, run, rx / s, (y[3] - x[3]) * 8 / s / 1e9, tx / s, (y[5] - x[5]) * 8 / s / 1e9, cpu / 1e9 / s,
			n ? sprintf("%.0f", cpu / n) : "null", other, extra == "" ? "null" : extra }'
}

# measure TEST RUN COMMAND...: runs it (it must last >= 1.2 + secs seconds), sampling in the middle;
# again, up to eight times, when something else took more than a fifth of a CPU meanwhile
measure() {
	local test=$1 run=$2 a b pid line try
	shift 2
	for try in 1 2 3 4 5 6 7 8; do
		(pin "$gcpu" ip netns exec "$ns" "$@" 8<&- >"$dir/gen.out" 2>"$dir/gen.err") &
		pid=$!
		sleep 1
		a=$(sample)
		sleep "$secs"
		b=$(sample)
		wait $pid || { echo "vubench: $test failed: $(cat "$dir/gen.err")" >&2; return 1; }
		line=$(emit "$test" "$run" "$a" "$b" "$(grep '^{' "$dir/gen.out" | tail -1)")
		awk -v o="$(sed 's/.*"other_cpu":\([-0-9.]*\).*/\1/' <<<"$line")" 'BEGIN { exit o < 0.2 }' || break
		[ $try -lt 8 ] && echo "vubench: $test: machine was busy, once more" >&2
		sleep 4
	done
	echo "$line" | tee -a "$out"
}

total=$(awk "BEGIN { print $secs + 0.5 }")
# vu MODE TEST RUN [vuload arguments]
vu() {
	local mode=$1 test=$2 run=$3
	shift 3
	measure "$test" "$run" "$here/vuload" --socket "$sock" $listen --mode "$mode" --secs "$total" --warmup 0.8 $extra "$@"
}

pmd() {   # pmd MODE ARGS...: testpmd as the guest, in the foreground until killed by timeout
	local mode=$1 t
	shift
	t=$(awk "BEGIN { print $secs + 3 }")
	echo timeout -s INT "$t" dpdk-testpmd --lcores "0@$gcpu,1@$gcpu" --in-memory -m 256 --iova-mode=va --no-pci --no-telemetry \
		--single-file-segments --file-prefix="gen$$" --vdev "net_virtio_user0,path=$sock,queues=1${listen:+,server=1}" -- \
		--total-num-mbufs=16384 --forward-mode="$mode" --auto-start --stats-period 1 --nb-cores=1 --no-flush-rx "$@"
}

test_gen() {   # the same with DPDK's virtio-user as the guest
	local run=$1 a b size pid
	for size in $sizes; do
		$(pmd txonly --txpkts="$size") <&8 >"$dir/pmd.out" 2>&1 8<&- & pid=$!
		sleep 2; a=$(sample); sleep "$secs"; b=$(sample); wait $pid
		emit "pmd_tx$size" "$run" "$a" "$b" "" | tee -a "$out"
		$(pmd rxonly) <&8 >"$dir/pmd.out" 2>&1 8<&- & pid=$!
		sleep 1.5
		(pin "$gcpu" ip netns exec "$ns" "$here/tapload" send --if $tap --size "$size" --secs "$total" >"$dir/tl.out" 8<&-) &
		sleep 0.5; a=$(sample); sleep "$secs"; b=$(sample); wait $pid
		emit "pmd_rx$size" "$run" "$a" "$b" "{\"pmd_rx_pps\":$(awk '/Rx-pps:/ { if ($2 > m) m = $2 } END { print m + 0 }' "$dir/pmd.out")}" | tee -a "$out"
	done
	$(pmd icmpecho) <&8 >"$dir/pmd.out" 2>&1 8<&- & pid=$!
	sleep 2
	ip -n "$ns" neigh replace 192.0.2.9 lladdr "$(sed -n 's/^Port 0: \(..:..:..:..:..:..\)$/\1/p' "$dir/pmd.out" | tail -1)" dev $tap
	a=$(sample)
	ip netns exec "$ns" ping -q -A -c 20000 -w "$secs" 192.0.2.9 >"$dir/ping.out" 2>&1
	b=$(sample); wait $pid
	emit pmd_ping "$run" "$a" "$b" "{\"ping\":\"$(tail -1 "$dir/ping.out" | tr -d '"')\"}" | tee -a "$out"
}

test_idle() {
	local a b pid r
	a=$(sample); sleep "$secs"; b=$(sample)
	emit idle_alone "$1" "$a" "$b" "" | tee -a "$out"
	"$here/vuload" --socket "$sock" $listen $extra --mode idle --secs "$(awk "BEGIN { print $secs + 1.5 }")" >/dev/null 8<&- & pid=$!
	sleep 1; a=$(sample); sleep "$secs"; b=$(sample)
	r=$(awk '/VmRSS|HugetlbPages/ { sub(":", "", $1); printf "%s\"%s_kb\":%d", n++ ? "," : "", $1, $2 }' "/proc/$spid/status")
	wait $pid
	emit idle_connected "$1" "$a" "$b" "{$r,\"threads\":$(ls "/proc/$spid/task" | wc -l)}" | tee -a "$out"
}

test_restart() {   # the device process is stopped and started again under a 1 ms ping
	local pid t0
	(pin "$gcpu" "$here/vuload" --socket "$sock" $listen $extra --mode ping --interval-us 1000 --reconnect-ms "$reconnect" \
		--secs 12 --warmup 0.5 >"$dir/gen.out" 2>"$dir/gen.err" 8<&-) & pid=$!
	sleep 3
	stop_server "$signal"
	[ -n "$listen" ] || rm -f "$sock"
	start_server
	wait_server_fast
	wait $pid
	printf '{"name":"%s","test":"restart","run":%d,"signal":"%s","reconnect_ms":%d,"gen":%s}\n' "$name" "$1" "$signal" "$reconnect" \
		"$(grep '^{' "$dir/gen.out")" | tee -a "$out"
	cat "$dir/gen.err" >&2
}

wait_server_fast() {   # puts the TAP's address back as soon as there is a TAP
	local i
	for i in $(seq 3000); do
		ip -n "$ns" link show $tap >/dev/null 2>&1 && break
		sleep 0.002
	done
	tap_up
	for i in $(seq 100); do spid=$(server_pid) && [ -n "$spid" ] && break; sleep 0.05; done
}

start_server
wait_server
if [ "$prewarm" != 0 ]; then
	ip netns exec "$ns" "$here/vuload" --socket "$sock" $listen $extra --mode txrx --poll --feed $tap --secs "$prewarm" >/dev/null 8<&-
fi
for run in $(seq "$runs"); do
	for t in $tests; do
		case $t in
		idle) test_idle "$run" ;;
		tx) for s in $sizes; do vu tx "tx$s" "$run" --size "$s" --poll; vu tx "tx$s.irq" "$run" --size "$s"; done ;;
		rx) for s in $sizes; do vu rx "rx$s" "$run" --size "$s" --poll --feed $tap; vu rx "rx$s.irq" "$run" --size "$s" --feed $tap; done ;;
		both) for s in $sizes; do vu txrx "txrx$s" "$run" --size "$s" --poll --feed $tap; done ;;
		lat)
			vu ping ping.irq "$run"
			vu ping ping.poll "$run" --poll
			vu ping ping.1ms "$run" --interval-us 1000
			;;
		tso)
			vu tx tx65000 "$run" --size 65000 --poll
			vu rx rx65000 "$run" --size 65000 --poll --feed $tap --window 64
			;;
		gen) test_gen "$run" ;;
		restart) test_restart "$run" ;;
		esac
	done
done
