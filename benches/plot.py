#!/usr/bin/env python3
"""Reads the results of the benches. Writes benches/results.svg and the results in benches/README.md.

It needs only Python. Run it from any folder after any of the benches. It leaves out benches that have not run.
"""

import datetime
import json
import math
import pathlib
import platform
import re
import subprocess
import xml.sax.saxutils

ROOT = pathlib.Path(__file__).resolve().parent.parent
PEERS = ROOT / "benches/peers"
FLOORS = ("raw", "inner")
OURS = ("tower-bearer", "verifier", "cold", "cached", "repeat")
START, END = "<!-- results: written by plot.py -->", "<!-- end of results -->"


def criterion(folder):
    """The medians below a target folder: {table: {row: {column: nanoseconds}}}, and the time of the newest."""
    tables, newest = {}, 0
    for path in sorted((folder / "criterion").glob("**/new/estimates.json")):
        bench = json.loads((path.parent / "benchmark.json").read_text())
        table, _, column = bench["group_id"].partition("/")
        row = bench["function_id"]
        if bench["value_str"]:
            row, column = row or "", bench["value_str"]
        if table == "threads":
            row, column = column, row
        median = json.loads(path.read_text())["median"]["point_estimate"]
        tables.setdefault(table, {}).setdefault(row, {})[column] = median
        newest = max(newest, path.stat().st_mtime)
    return tables, newest


def instructions(folder):
    """The instructions that callgrind counted: {bench: instructions}."""
    counts = {}
    for path in sorted((folder / "gungraun").glob("**/callgrind.*.out")):
        text = path.read_text(errors="replace")
        events = re.search(r"^events: (.*)$", text, re.M)
        totals = re.search(r"^(?:totals|summary): (.*)$", text, re.M)
        if events and totals:
            figures = dict(zip(events[1].split(), totals[1].split()))
            counts[path.name.removeprefix("callgrind.").removesuffix(".out")] = int(figures["Ir"])
    return counts


def columns_of(rows):
    names = {column for row in rows.values() for column in row}
    order = ["HS256", "RS256", "PS256", "ES256", "ES384", "EdDSA"]
    return sorted(names, key=lambda name: (order.index(name) if name in order else 99, len(name), name))


def floor_of(rows):
    return next((rows[name] for name in FLOORS if name in rows), {})


def rows_in_order(rows):
    return sorted(rows, key=lambda name: (name not in FLOORS, min(rows[name].values()), name))


def duration(nanoseconds):
    if nanoseconds < 1_000:
        return f"{nanoseconds:.0f} ns"
    return f"{nanoseconds / 1_000:.1f} µs" if nanoseconds < 1e6 else f"{nanoseconds / 1e6:.1f} ms"


def markdown(name, rows):
    columns, floor = columns_of(rows), floor_of(rows)
    # The same floor is used for every column if it was measured only once.
    common = floor.get("") if len(floor) == 1 else None
    head = [name] + [column or "time" for column in columns if column or len(columns) == 1]
    columns = [column for column in columns if column or len(columns) == 1]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for row in rows_in_order(rows):
        cells = [row]
        for column in columns:
            value = rows[row].get(column, rows[row].get(""))
            if value is None:
                cells.append("")
                continue
            base = floor.get(column, common)
            ratio = ""
            if name == "threads":
                one = rows[row].get("1")
                ratio = f" (× {int(column) * one / value:.2f})" if one else ""
            elif base and row not in FLOORS:
                ratio = f" ({value / base:.2f})"
            cells.append(duration(value) + ratio)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def targets(own, peers):
    """The ratios with targets: (name, measured, limit). All figures are from one run. With ≥, more is better."""

    def at(tables, table, row, column=""):
        return tables[table][row][column]

    def rows():
        raw = lambda algorithm: at(own, "cold_verification", "raw", algorithm)
        layer = lambda row, algorithm="": at(own, "whole_layer", row, algorithm)
        bare = lambda: layer("inner")
        for algorithm, limit in (("HS256", 2.2), ("RS256", 1.06), ("PS256", 1.06), ("ES256", 1.03), ("EdDSA", 1.03)):
            yield f"cold {algorithm}, verifier / raw", lambda a=algorithm: at(own, "cold_verification", "verifier", a) / raw(a), limit
        for algorithm, limit in (("HS256", 2.5), ("RS256", 1.08), ("PS256", 1.08), ("ES256", 1.04), ("EdDSA", 1.04)):
            yield (f"cold {algorithm}, (whole layer with revocation - inner) / raw",
                   lambda a=algorithm: (layer("cold_with_revocation_hit", a) - bare()) / raw(a), limit)
        for algorithm, limit in (("HS256", 0.35), ("RS256", 0.80), ("PS256", 0.80), ("ES256", 0.95), ("EdDSA", 0.96)):
            of = lambda row, a: at(peers, "middleware", row, a)
            yield (f"the same {algorithm} / a hand-written layer with jsonwebtoken, each minus inner",
                   lambda a=algorithm: (of("tower-bearer", a) - of("inner", a)) / (of("by_hand", a) - of("inner", a)), limit)
        yield ("layer, cold HS256: (cold - verifier - inner) / inner",
               lambda: (layer("cold", "HS256") - bare() - at(own, "cold_verification", "verifier", "HS256")) / bare(), 1.0)
        yield ("revocation hit: addition to a cold request / inner",
               lambda: (layer("cold_with_revocation_hit", "HS256") - layer("cold", "HS256")) / bare(), 1.0)
        for algorithm in ("HS256", "RS256", "ES256"):
            zipf = lambda row, a: at(own, "1000_tokens_zipf", row, a)
            yield (f"hit {algorithm}, revocation on, 1 000 tokens by Zipf's law / inner",
                   lambda a=algorithm: zipf("repeat_with_revocation", a) / zipf("inner", a), 2.0)
        for algorithm in ("RS256", "ES256", "EdDSA"):
            yield (f"{algorithm} token never seen before, cache on / off",
                   lambda a=algorithm: at(own, "first_sight", "cache_on", a) / at(own, "first_sight", "cache_off", a), 1.05)
        for case, limit in (("no_header", 1.4), ("500_random_bytes", 1.9), ("alg_none", 2.5), ("one_byte_over_the_limit", 1.5)):
            yield f"refusal: {case} / inner", lambda c=case: at(own, "refusals", c) / at(own, "refusals", "inner"), limit
        yield ("refusal: (bad_hs256_signature - inner) / raw",
               lambda: (at(own, "refusals", "bad_hs256_signature") - at(own, "refusals", "inner")) / raw("HS256"), 1.5)
        scaling = lambda case, threads="2": int(threads) * at(own, "threads", case, "1") / at(own, "threads", case, threads)
        yield "two threads / one, hit, own tokens", lambda: scaling("cached_own_tokens"), "≥ 1.8"
        yield "two threads / one, hit, one shared token", lambda: scaling("cached_shared_token"), "≥ 1.4"
        yield ("two threads / one, cold, relative to the bare service",
               lambda: scaling("cold_own_tokens") / scaling("inner"), "≥ 0.95")

    for what, measure, limit in rows():
        try:
            measured = measure()
        except KeyError:
            continue
        # Smaller differences between runs are noise: 10% for durations below 300 ns, otherwise 5%.
        noise = 1.10 if what.startswith(("hit", "refusal", "revocation hit", "layer")) else 1.05
        if isinstance(limit, str):
            excess = float(limit.removeprefix("≥ ")) / measured
        else:
            limit, excess = f"≤ {limit}", measured / limit
        met = "yes" if excess <= 1 else "within noise" if excess <= noise else "**no**"
        yield what, f"{measured:.2f}", limit, met


def svg(panels):
    """Bars on a logarithmic scale, one panel for each column of each table."""
    left, width, bar, gap = 260, 520, 16, 34
    parts, y = [], 10

    def text(x, y, content, extra=""):
        content = xml.sax.saxutils.escape(content)
        parts.append(f'<text x="{x}" y="{y}" {extra}>{content}</text>')

    for title, values in panels:
        low = math.floor(math.log10(min(values.values())))
        high = max(math.ceil(math.log10(max(values.values()))), low + 1)
        scale = width / (high - low)
        y += 18
        text(10, y, title, 'font-weight="bold"')
        y += 8
        height = bar * len(values)
        for decade in range(low, high + 1):
            x = left + (decade - low) * scale
            parts.append(f'<line x1="{x:.1f}" y1="{y}" x2="{x:.1f}" y2="{y + height}" stroke="#ccc"/>')
            text(f"{x:.1f}", y + height + 13, duration(10.0**decade), 'text-anchor="middle" fill="#666"')
        for name, value in sorted(values.items(), key=lambda item: (item[0] not in FLOORS, item[1])):
            colour = "#888" if name in FLOORS else "#1b6" if name.startswith(OURS) else "#48c"
            length = max((math.log10(value) - low) * scale, 1)
            parts.append(f'<rect x="{left}" y="{y + 2}" width="{length:.1f}" height="{bar - 4}" fill="{colour}"/>')
            text(left - 6, y + bar - 4, name, 'text-anchor="end"')
            text(f"{left + length + 4:.1f}", y + bar - 4, duration(value))
            y += bar
        y += gap
    size = f'width="{left + width + 90}" height="{y}"'
    style = 'font-family="sans-serif" font-size="11"'
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n'
        f'<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n'
    )


def panels_of(crate, tables):
    for name, rows in tables.items():
        if name == "threads":
            continue
        for column in columns_of(rows):
            values = {row: cells[column] for row, cells in rows.items() if column in cells}
            if len(values) > 1:
                title = f"{name}/{column}" if column else name
                yield f"{title} ({crate}; logarithmic)", values


def versions(lock):
    names = {"aliri", "aliri_tower", "aws-lc-rs", "axum-jwt-auth", "biscuit", "jsonwebtoken", "jwt-authorizer",
             "jwt-simple", "tower-http", "tower-oauth2-resource-server"}
    found = re.findall(r'^name = "(.*)"\nversion = "(.*)"$', lock.read_text(), re.M)
    return ", ".join(f"{name} {version}" for name, version in found if name in names)


def machine():
    model = re.search(r"^model name\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    cores = len(re.findall(r"^processor", pathlib.Path("/proc/cpuinfo").read_text(), re.M))
    rustc = subprocess.run(["rustc", "-V"], capture_output=True, text=True, check=True).stdout.split()[1]
    return f"{cores} × {model[1] if model else platform.machine()}, {platform.system()}, Rust {rustc}"


def main():
    own, own_time = criterion(ROOT / "target")
    peers, peers_time = criterion(PEERS / "target")
    counts = instructions(ROOT / "target")
    load = ROOT / "target/load.txt"
    newest = max(own_time, peers_time)
    if not newest:
        raise SystemExit("nothing has been measured yet: run a bench first")
    day = datetime.datetime.fromtimestamp(newest, datetime.timezone.utc).date()

    out = [START, f"{day}. {machine()}. {versions(PEERS / 'Cargo.lock')}.", ""]
    aims = list(targets(own, peers))
    if aims:
        out += ["### Comparison with the targets", "", "| ratio | measured | target | met |", "|---|---|---|---|"]
        out += [f"| {' | '.join(aim)} |" for aim in aims] + [""]
    for title, tables in (("Comparison with other crates (`benches/peers`)", peers), ("This crate alone", own)):
        if tables:
            out += [f"### {title}", ""]
            for name, rows in sorted(tables.items()):
                out += [markdown(name, rows), ""]
    if counts:
        out += ["### Instructions", "", "| request | instructions |", "|---|---|"]
        out += [f"| {name} | {count:,} |".replace(",", " ") for name, count in counts.items()] + [""]
    storm = ROOT / "target/login_storm.txt"
    if storm.exists():
        rows = [line for line in storm.read_text().splitlines() if line.startswith("|")]
        out += ["### Log-in storm: latency of a protected call", "", *rows, ""]
    memory = ROOT / "target/allocations.txt"
    if memory.exists():
        lines = [line for line in memory.read_text().splitlines() if re.match(r"\d+ bytes", line)]
        out += ["### Memory", "", *(f"* {line}" for line in lines), ""]
    if load.exists():
        out += ["### Whole server", "", "```text", load.read_text().rstrip(), "```", ""]
    out.append(END)

    (ROOT / "benches/results.svg").write_text(svg([*panels_of("peers", peers), *panels_of("own", own)]))
    readme = ROOT / "benches/README.md"
    before, rest = readme.read_text().split(START)
    readme.write_text(before + "\n".join(out) + rest.split(END)[1])


if __name__ == "__main__":
    main()
