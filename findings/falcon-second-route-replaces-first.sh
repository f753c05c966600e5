#!/bin/sh
# falcon 4.4.0: a second route of the same path replaces the first one without a word.
#
# Expected: App.add_route refuses a path that has a resource, as it refuses a template that it cannot tell from another
# one ("/a/{x}" beside "/a/{y}" is a ValueError).
# Seen: the very same path is taken again. The first resource is gone with all its methods, also those that the second
# one lacks: these answer 405.
# Why it matters: where plugins bring routes, one of them can put itself in the place of a route that checks rights, by
# mistake or not, and nobody is told. Whoever lets others add routes has to keep a table of their own and refuse a path
# that stands in it.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check falcon==4.4.0 2>/dev/null
"$folder/venv/bin/python" - <<'PYTHON'
import falcon
from falcon.testing import TestClient

print("falcon", falcon.__version__)


class First:
    def on_get(self, req, resp, x):
        resp.text = "first"

    def on_post(self, req, resp, x):
        resp.text = "first"


class Second:
    def on_get(self, req, resp, x):
        resp.text = "second"


app = falcon.App()
app.add_route("/a/{x}", First())
try:
    app.add_route("/a/{y}", Second())
    alike = "taken"
except ValueError as error:
    alike = "refused"
print("another template of the same shape:", alike)
app.add_route("/a/{x}", Second())
client = TestClient(app)
get, post = client.simulate_get("/a/1"), client.simulate_post("/a/1")
print("the same template again: taken; GET answers", repr(get.text), "and POST", post.status)
assert alike == "refused"
assert (get.text, post.status_code) == ("second", 405), "the behaviour has changed"
PYTHON
