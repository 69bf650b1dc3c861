#!/usr/bin/env python3
"""The table at the end of bench/peers.sh: medians over the rounds of each workload, ours and each rival's (of its ways
to run and to wait the best one, named at the end), and how many times faster or slower we are. CPU: milliseconds of
all threads a step."""
import json
import statistics
import sys


RIVALS = ("torch", "darknet")


def way(line):
    return line.get("mode", ""), line.get("wait", "")


def middle(lines, key):
    return statistics.median(line[key] for line in lines)


def main():
    with open(sys.argv[1]) as f:
        lines = [json.loads(line) for line in f]
    if not any(rival in line for line in lines for rival in RIVALS):
        return
    works = dict.fromkeys((line["model"], line["bench"], line["batch"]) for line in lines)
    print(f"\n{'work':24} {'rival':10} {'engine ms':>10} {'rival ms':>10} {'ratio':>6} {'CPU ms':>18} {'ratio':>6} {'MB':>12}")
    for work in works:
        mine = [line for line in lines if (line["model"], line["bench"], line["batch"]) == work]
        ours = [line for line in mine if not any(rival in line for rival in RIVALS)]
        for rival in RIVALS:
            ways = {way(line) for line in mine if rival in line}
            if not ways:
                continue
            theirs = min(([line for line in mine if rival in line and way(line) == w] for w in ways),
                         key=lambda some: middle(some, "median_ms"))
            a, b = middle(ours, "median_ms"), middle(theirs, "median_ms")
            c, d = middle(ours, "cpu_ms"), middle(theirs, "cpu_ms")
            print(f"{work[0] + ' ' + work[1] + ' ' + str(work[2]):24} {rival:10} {a:10.4g} {b:10.4g} {b / a:5.2f}x "
                  f"{c:8.4g} /{d:8.4g} {d / c:5.2f}x "
                  f"{middle(ours, 'peak_rss_mb'):5.0f} /{middle(theirs, 'peak_rss_mb'):5.0f}  {' '.join(way(theirs[0]))}")
    matmul = [line["matmul_gflops"] for line in lines if "torch" in line]
    ceiling = [line["ceiling_gflops"] for line in lines if "ceiling_gflops" in line]
    if matmul:
        print(f"FMA ceiling {min(ceiling):.0f} to {max(ceiling):.0f} GFLOP/s, PyTorch's matmul {min(matmul):.0f} to "
              f"{max(matmul):.0f}: far apart, or far from each other, the machine was busy")


if __name__ == "__main__":
    main()
