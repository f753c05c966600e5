#!/bin/sh
# prometheus-client 0.21.1: its parser gives a counter's samples another name than the text has.
#
# Expected: text_string_to_metric_families(text) gives the samples of `# TYPE requests counter` / `requests 5` under the name
# that stands there, `requests`, which the text format (0.0.4) allows: nothing in it asks for an ending.
# Seen: the sample is called `requests_total`, in every such family; gauges, untyped samples and counters that end in `_total` already
# keep their names. What is parsed and written again with generate_latest has other series than what was read.
# Why it matters: a bridge, a test or a check that reads an exposition with this parser looks for names that no Prometheus server,
# which scrapes the same text, has; and two families `x` and `x_total` become indistinguishable. Programs that read expositions of
# others (exporters without the ending are many) must not take names from it, or must strip the ending by the TYPE lines.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check prometheus-client==0.21.1 2>/dev/null
"$folder/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

TEXT = "# TYPE requests counter\nrequests 5\n# TYPE sent_total counter\nsent_total 6\n# TYPE open gauge\nopen 7\nfree 8\n"


class Read:
    def collect(self):
        return text_string_to_metric_families(TEXT)


print("prometheus-client", version("prometheus-client"))
print(TEXT, end="")
names = [sample.name for family in text_string_to_metric_families(TEXT) for sample in family.samples]
print("samples:", *names)
registry = CollectorRegistry()
registry.register(Read())
again = generate_latest(registry).decode()
print("written again:", *(line for line in again.splitlines() if not line.startswith("#")), sep="\n  ")
assert names == ["requests_total", "sent_total", "open", "free"], "the behaviour has changed"
assert "\nrequests_total 5.0\n" in again and "\nrequests 5" not in again
PYTHON
