"""Limits in force under a kernel that withholds nothing: open files, receive buffers, memory and tasks of the agent."""

from __future__ import annotations

from pathlib import Path

import pytest

from ftest.debian import debiantree, fullkernel, packages

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(debiantree.missing()), reason=debiantree.missing()),
    pytest.mark.skipif(bool(fullkernel.missing()), reason=fullkernel.missing()),
]

PREPARE = """
rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*
cp /job/repository/istatd-archive-keyring.gpg /usr/share/keyrings/
sed "s,^URIs:.*,URIs: file:///job/repository," /job/repository/istatd-*.sources > /etc/apt/sources.list.d/istatd.sources
apt-get -qq update
apt-get -qq install -y --no-install-recommends istatd
cp /usr/share/doc/istatd-server/examples/udp-buffer.sysctl.conf /etc/sysctl.d/60-istatd.conf
mkdir -p /etc/systemd/system/istat-agent.service.d /etc/systemd/system/istat-server.service.d
# The emulated machine is slow: only memory is to be short.
cat > /etc/systemd/system/istat-agent.service.d/test.conf <<END
[Service]
MemoryMax=100M
TimeoutStartSec=5min
WatchdogSec=0
END
cp /usr/share/doc/istatd-server/examples/server-memory.conf /etc/systemd/system/istat-server.service.d/
printf "#!/usr/bin/python3\\nx = bytearray(400 << 20)\\nprint('greedy.done', 1)\\n" > /etc/istatd/plugins.d/greedy
chmod 755 /etc/istatd/plugins.d/greedy
"""
JOB = """
for unit in istat-server istat-agent; do
    for second in $(seq 120); do
        systemctl -q is-active $unit && break
        sleep 1
    done
    pid=$(systemctl show -P MainPID $unit)
    echo "$unit files $(awk '/Max open files/ {print $4, $5}' /proc/$pid/limits)"
    echo "$unit memory $(cat /sys/fs/cgroup/system.slice/$unit.service/memory.max)"
    echo "$unit tasks $(cat /sys/fs/cgroup/system.slice/$unit.service/pids.max)"
done
echo "rmem_max $(cat /proc/sys/net/core/rmem_max)"
echo "buffer $(ss -lnum 'sport = :8111' | grep -o 'rb[0-9]*' | sort -u | tr '\\n' ' ')"
for second in $(seq 90); do
    grep -q 'oom_kill [1-9]' /sys/fs/cgroup/system.slice/istat-agent.service/memory.events && break
    sleep 1
done
echo "killed $(grep -c 'oom_kill [1-9]' /sys/fs/cgroup/system.slice/istat-agent.service/memory.events)"
sleep 2
echo "agent $(systemctl is-active istat-agent) $(systemctl show -P NRestarts istat-agent)"
journalctl -u istat-agent --no-pager -n 20
"""


@pytest.mark.parametrize("release", packages.RELEASES)
def test_limits_are_in_force(tmp_path: Path, release: str) -> None:
    folder = packages.trees() or tmp_path
    tree = packages.base_tree(folder, release)
    packages.build(tree, tmp_path / "built")
    packages.fetch_needed(tree, tmp_path / "built")
    job = tmp_path / "job"
    job.mkdir()
    packages.make_repository(job / "repository", tmp_path / "built/first", tmp_path / "built/needed")
    kernel = folder / f"kernel-{release}"
    debiantree.make(kernel, release, fullkernel.KERNEL)
    lines = fullkernel.run(kernel, job, PREPARE, JOB)
    print("\n".join(lines))
    assert "istat-server files 1048576 1048576" in lines
    assert "istat-agent files 65536 65536" in lines
    assert "istat-server memory 2147483648" in lines
    assert "istat-agent memory 104857600" in lines
    assert "istat-agent tasks 256" in lines
    assert "rmem_max 8388608" in lines
    assert "buffer rb16777216 " in lines
    assert "killed 1" in lines, "the greedy script ran into the agent's limit"
    assert "agent active 0" in lines, "and the agent went on"
