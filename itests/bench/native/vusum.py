#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Medians of vubench.sh's JSON lines: vusum.py results.jsonl [NAME...]"""
import json, statistics, sys
rows = {}
for line in open(sys.argv[1]):
    r = json.loads(line)
    if len(sys.argv) > 2 and r["name"] not in sys.argv[2:]:
        continue
    rows.setdefault((r["name"], r["test"]), []).append(r)
def med(rs, f):
    v = [x for x in (f(r) for r in rs) if x is not None]
    return statistics.median(v) if v else None
def show(label, v, fmt="{:.0f}"):
    return f"{label}={fmt.format(v)} " if v is not None else ""
for (name, test), rs in rows.items():
    quiet = [r for r in rs if r.get("other_cpu", 0) < 0.25 or "own_cpu" not in (r.get("gen") or {})]
    noisy = "" if quiet else "NOISY "
    rs = quiet or rs
    g = lambda k, sub=None: med(rs, lambda r: ((r.get("gen") or {}).get(k) if sub is None else ((r.get("gen") or {}).get(k) or {}).get(sub)))
    out = f"{name:16} {test:14} n={len(rs)} {noisy}"
    to, fr = med(rs, lambda r: r.get("to_tap_pps")), med(rs, lambda r: r.get("from_tap_pps"))
    if not test.startswith(("idle", "restart", "ping")):
        sp = [max(r.get("to_tap_pps", 0), r.get("from_tap_pps", 0)) for r in rs]
        out += f"toTAP={to/1e3:.0f}k/s {med(rs, lambda r: r['to_tap_gbps']):.2f}Gb  fromTAP={fr/1e3:.0f}k/s {med(rs, lambda r: r['from_tap_gbps']):.2f}Gb [{min(sp)/1e3:.0f}..{max(sp)/1e3:.0f}] "
    out += show("cpu", med(rs, lambda r: r.get("cpu")), "{:.3f}")
    if not test.startswith("idle"):
        out += show("ns/pkt", med(rs, lambda r: r.get("cpu_ns_pkt")))
    for k in ("rx_pps", "tx_pps"):
        v = g(k)
        if v and not test.startswith("ping"): out += show("gen_" + k, v)
    for k in ("rx_seq_lost", "rx_reordered", "tx_kicks", "tx_calls", "rx_kicks", "rx_calls", "pmd_rx_pps", "VmRSS_kb", "HugetlbPages_kb", "threads"):
        v = g(k)
        if v: out += show(k, v)
    for h in ("rtt_us", "oneway_us"):
        for q in ("p50", "p99", "p999"):
            v = g(h, q)
            if v is not None: out += show(f"{h[:-3]}_{q}", v, "{:.1f}")
    for k in ("pings", "pongs", "max_gap_ms", "disconnected_ms"):
        v = g(k)
        if v is not None: out += show(k, v, "{:.1f}")
    if rs[0].get("gen") and "ping" in rs[0]["gen"]: out += rs[0]["gen"]["ping"]
    print(out)
