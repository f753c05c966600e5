"""network, on two readings of a fake /proc/net/dev."""

from collections.abc import Callable
from pathlib import Path

from istat.plugin import Config, Definition, Emit

from .collector import Network

FIXTURES = Path(__file__).parent / "fixtures"


def two_readings(network: object, fake_proc: Callable[[Path], None]) -> Emit:
    for monotonic, folder in ((100.0, "first"), (110.0, "second")):
        fake_proc(FIXTURES / folder)
        emit = Emit(1000, monotonic)
        network.collect(emit)  # type: ignore[attr-defined]
    return emit


def test_rates_per_interface(
    fake_proc: Callable[[Path], None], documented: Callable[[Definition, Emit], None]
) -> None:
    emit = two_readings(Network(), fake_proc)
    gauges = emit.gauges()
    documented(Network, emit)
    assert gauges["network.eth0.tx_bytes"] == 50_000
    assert gauges["network.eth0.rx_packets"] == 10
    assert gauges["network.eth0.rx_drops"] == 0.5
    assert gauges["network.eth0.tx_errors"] == 0.3
    assert gauges["network.lo.rx_bytes"] == 100
    assert gauges["network.eth0_5.tx_bytes"] == 20  # a VLAN


def test_wrapped_counters_and_new_interfaces_have_no_rate(fake_proc: Callable[[Path], None]) -> None:
    gauges = two_readings(Network(), fake_proc).gauges()
    assert "network.eth0.rx_bytes" not in gauges  # the total fell: a 32-bit counter went round
    assert "network.eth0.rx_packets" in gauges
    assert not [name for name in gauges if name.startswith("network.wg0")]


def test_skipped_interfaces(fake_proc: Callable[[Path], None]) -> None:
    assert not [n for n in two_readings(Network(), fake_proc).gauges() if "veth" in n]
    network = Network()
    network.setup(Config({"skip": "^(veth|lo$)"}))
    assert {n.split(".")[1] for n in two_readings(network, fake_proc).gauges()} == {"eth0", "eth0_5"}
