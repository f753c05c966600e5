"""network, on two readings of a fake /proc/net/dev."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

from istat.plugin import Config, Definition, Emit

from .collector import FIELDS, Network, label

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


def test_interfaces_whose_names_look_alike_have_a_name_each_and_no_rate_of_another() -> None:
    """`eth0_5` comes while the VLAN `eth0.5` is there, and is written otherwise; then the VLAN goes."""
    readings: list[dict[str, int]] = [{"eth0.5": 100}, {"eth0.5": 200, "eth0_5": 9000}, {"eth0.5": 300, "eth0_5": 9500},
                                      {"eth0_5": 9900}]
    source = SimpleNamespace(net_io_counters=lambda pernic, nowrap: {
        interface: SimpleNamespace(**dict.fromkeys(FIELDS, total)) for interface, total in readings.pop(0).items()})
    network = Network(source)
    found = []
    for monotonic in (10.0, 20.0, 30.0, 40.0):
        emit = Emit(1000, monotonic)
        network.collect(emit)
        found.append({name: rate for name, rate in emit.gauges().items() if name.endswith("rx_bytes")})
    assert found == [{}, {"network.eth0_5.rx_bytes": 10},
                     {"network.eth0_5.rx_bytes": 10, "network.eth0~5f5.rx_bytes": 50},
                     {"network.eth0~5f5.rx_bytes": 40}]


def test_labels_are_what_the_server_made_of_the_names_before() -> None:
    assert [label(name) for name in ("br-lan", "enP4p1s0", "wg0+x", "eth0@1", "eth^1", "b\xfc")] == [
        "br-lan", "enp4p1s0", "wg0+x", "eth0@1", "eth_1", "b__"]
