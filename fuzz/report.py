#!/usr/bin/env python3
"""Writes the figures of a long run. `.ci/fuzz long` calls `fuzz/report.py LOGS OUTPUT`."""

import pathlib, re, subprocess, sys


def say(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def last(pattern: str, text: str) -> re.Match:
    *_, match = re.finditer(pattern, text, re.M)
    return match


logs, output = map(pathlib.Path, sys.argv[1:])
rows, findings = [], 0
for log in sorted(logs.glob("*.log")):
    if log.name.endswith(".merge.log"):
        continue
    text = log.read_text(errors="replace")
    state = last(r"cov: (\d+) ft: (\d+) corp: (\d+)/", text)
    edges, features, corpus = map(int, state.groups())
    of = int(last(r"Loaded 1 PC tables \((\d+) PCs\)", text)[1])
    done = re.search(r"^Done (\d+) runs in (\d+) second", text, re.M)
    runs, seconds = map(int, done.groups()) if done else (int(last(r"^#(\d+)", text)[1]), 0)
    # A process that was killed has not printed the last line.
    found = not done or len(re.findall(r"^==\d+== ?ERROR|^SUMMARY:", text, re.M)) > 0
    findings += found
    cpu = re.search(r"^CPU seconds: ([\d.]+)", text, re.M)
    cpu = f"{float(cpu[1]):,.0f}" if cpu else "-"
    rate = f"{runs / seconds:,.0f}" if seconds else "-"
    rows.append(
        f"| `{log.stem}` | {runs:,} | {seconds:,} | {cpu} | {rate} | {edges:,} of {of:,} | {features:,} | {corpus:,} "
        f"| {'**yes**' if found else 'none'} |"
    )

table = "\n".join(rows)
output.write_text(f"""# Figures of the last long run of each target

Written by `.ci/fuzz long` (`fuzz/report.py`) on {say("date", "-u", "+%Y-%m-%d")}, at commit {say("git", "rev-parse", "--short", "HEAD")}, with
{say("rustc", "--version")}, on {say("nproc")} CPUs, load average {say("cut", "-d ", "-f1-3", "/proc/loadavg")} at the end.

| target | executions | seconds | CPU seconds | executions per second | edges | features | corpus | findings |
|---|---|---|---|---|---|---|---|---|
{table}

Edges and features are libFuzzer's `cov` and `ft` at the end of the run: the reached edges, and the reached edges with their
hit counts. They include the seeds and the inputs of earlier runs. The total counts all edges of the program, including
those of its dependencies.
""")
print(output.read_text())
sys.exit(1 if findings else 0)
