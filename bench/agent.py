"""What the agent costs: runs the real one with all collectors, prints its share of a core and its memory.

    python -m bench.agent [--seconds 60] [--interval 10]

CPU is user + system time of the agent's process (all threads) from /proc/PID/stat, without its start: what
counts for a machine is what the agent costs while it runs. Its samples go to a UDP socket of this program.
Scripts of `exec` are not counted; there are none here.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

SETTLE = 12.0  # seconds: imports and the first full reading are over
GOAL_CPU, GOAL_RSS = 0.5, 60.0  # percent of one core; MB


def cpu_seconds(pid: int) -> float:
    """User + system time of a process [s], from fields 14 and 15 of /proc/PID/stat."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mb(pid: int) -> float:
    """Resident memory [MB]."""
    match = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(match[1]) / 1000 if match else 0.0


def measure(seconds: float, interval: int) -> dict[str, float]:
    """Run the agent for `seconds` after it has settled. RuntimeError when it sent nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:
        sink.bind(("127.0.0.1", 0))
        command = [sys.executable, "-m", "istat_agent.main", "--server", f"127.0.0.1:{sink.getsockname()[1]}"]
        agent = subprocess.Popen(
            [*command, "--interval", str(interval), "--plugin-dir", "", "--log-level", "warning"]
        )
        try:
            time.sleep(SETTLE)
            before, began = cpu_seconds(agent.pid), time.monotonic()
            time.sleep(seconds)
            used, lasted = cpu_seconds(agent.pid) - before, time.monotonic() - began
            memory = rss_mb(agent.pid)
        finally:
            agent.send_signal(signal.SIGTERM)
            agent.wait(10)
        sink.setblocking(False)
        samples = 0
        try:
            while True:
                samples += sink.recv(65536).count(b"\n")
        except BlockingIOError:
            pass
    if not samples:
        raise RuntimeError("the agent sent nothing")
    return {"cpu_percent": 100 * used / lasted, "rss_mb": memory, "lines": samples, "seconds": lasted}


def main() -> None:
    """Measure and print, beside the goals."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--interval", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = measure(arguments.seconds, arguments.interval)
    if arguments.json:
        print(json.dumps(found))
        return
    print(f"agent, all collectors every {arguments.interval} s, {found['lines']:.0f} lines in all")
    print(f"  CPU  {found['cpu_percent']:.2f} % of a core   (goal: under {GOAL_CPU} %)")
    print(f"  RSS  {found['rss_mb']:.1f} MB             (goal: under {GOAL_RSS:.0f} MB)")


if __name__ == "__main__":
    main()
