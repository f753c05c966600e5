"""The table of our own routes: every address, who may ask it, and what a request may bring.

The only place that names paths of ours. It knows the families, and nothing of how an application is made of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import falcon

from istat.clock import Clock
from istat.errors import NO_PATH
from istat_server.http.errors import refuse
from istat_server.http.families.api import Agents, Api, Status
from istat_server.http.families.changes import Changes
from istat_server.http.families.describing import Declarations, Describing, Nothing
from istat_server.http.families.files import Files
from istat_server.http.families.istatd import Istatd
from istat_server.http.families.kept import Kept
from istat_server.http.families.namespaces import Settings
from istat_server.http.families.prometheus import Prometheus
from istat_server.http.families.ui import INDEX, Page, page_folder
from istat_server.http.families.whole import Whole
from istat_server.http.limits import LIMITS, HttpLimits
from istat_server.http.routes import ANY, Access, Parameter, Route
from istat_server.keyvalue.namespaces import Namespaces
from istat_server.replica.master.handlers import Replicas
from istat_server.replica.master.leases import Leases
from istat_server.replica.options import LEASE_SECONDS
from istat_server.store.interface import Store

P = Parameter


def our_routes(
    store: Store,
    status: Status,
    agents: Agents,
    metrics: Callable[[], str],
    clock: Clock,
    files: Path | None = None,
    limits: HttpLimits = LIMITS,
    *,
    namespaces: Namespaces,
    settings_open: bool = False,
    replicas: Replicas | None = None,
    declared: Declarations | None = None,
) -> list[Route]:
    """All our routes, over a store.

    `metrics` gives the server's own in Prometheus' text format; `files` replaces the page's folder. `settings_open`:
    who may read namespaces may change them; `replicas`: what those are answered who follow this server; `declared`:
    what is declared of metrics.
    """
    api = Api(store, status, agents, clock, limits)
    istatd = Istatd(store, agents, clock, limits)
    return [
        *_page(Page(files)),
        Route("/health", {"GET": api.get_health}, Access.OPEN, "200 once the store is open"),
        Route("/metrics", {"GET": Prometheus(metrics).get_metrics}, Access.READ,
              "the server's own metrics for Prometheus"),
        *_questions(api, limits),
        *_whole(Whole(store, clock, limits), limits),
        _describing(Describing(store, declared or Nothing(), limits), limits),
        *_changes(Changes(store, clock, limits), limits),
        *_files(Files(page_folder(files), clock, "" if files else INDEX)),
        *_istatd(istatd, limits),
        *_kept(Kept(namespaces, limits, settings_open), limits, settings_open),
        *_settings(Settings(namespaces, settings_open), limits, settings_open),
        *_replicas(replicas or Replicas(Leases(lambda: store, clock, LEASE_SECONDS), namespaces, clock), limits),
        Route("/api/", {ANY: _nothing}, Access.OPEN, "anything else below is 404", below=True),
        Route("/graphite/", {ANY: _nothing}, Access.OPEN, "kept free: 404", below=True),
    ]


def _page(page: Page) -> Sequence[Route]:
    return (
        Route("/", {"GET": page.get_index}, Access.OPEN, "the page"),
        Route("/favicon.ico", {"GET": page.get_icon}, Access.OPEN, "the page's icon"),
        Route("/ui/", {"GET": page.get_file}, Access.OPEN, "the page's files", below=True),
    )


def _questions(api: Api, limits: HttpLimits) -> Sequence[Route]:
    range_ = (P("from", "start of the range, Unix seconds", type="integer"),
              P("to", "its end, which is not in it", type="integer"),
              P("points", "points wanted at most", type="integer"),
              P("level", "the retention level to answer from"),
              P("tz", "a time zone, such as Europe/Berlin: cells of whole days are its days"))
    limit = P("limit", "most rows of an answer", type="integer")
    token = P("token", "of the page before, to get the next one")
    return (
        Route("/api/v1/series", {"GET": api.get_series, "POST": api.post_series}, Access.READ,
              "columns of several counters on one grid of times", limits.body,
              (P("name", "a counter", many=True, needed=True, methods=("GET",)),
               *(P(p.name, p.help, type=p.type, methods=("GET",)) for p in range_),
               P("columns", "of count, sum, avg, min, max, sdev; with commas", methods=("GET",)),
               P("names", "counters", "body", many=True, needed=True),
               *(P(p.name, p.help, "body", type=p.type) for p in range_),
               P("columns", "of count, sum, avg, min, max, sdev", "body", many=True)), "name=a"),
        Route("/api/v1/names", {"GET": api.get_names}, Access.READ, "counters whose names fit a pattern", parameters=(
            P("match", "a pattern with * and ?"), P("regex", "a regular expression instead"), limit, token,
            P("offset", "rows to skip", type="integer"))),
        Route("/api/v1/children", {"GET": api.get_children}, Access.READ, "the components below a dotted prefix",
              parameters=(P("prefix", "without its last dot; none is the first components"), limit, token)),
        Route("/api/v1/search", {"GET": api.get_search}, Access.READ, "counters whose names hold all words",
              parameters=(P("q", "the words"), limit, token)),
        Route("/api/v1/agents", {"GET": api.get_agents}, Access.READ, "who sent what", parameters=(limit, token)),
        Route("/api/v1/status", {"GET": api.get_status}, Access.READ, "the server's figures"),
    )


def _whole(whole: Whole, limits: HttpLimits) -> Sequence[Route]:
    return (
        Route("/api/v1/rows", {"POST": whole.post_rows}, Access.READ,
              "all buckets of counters, of every level, in pages", limits.body,
              (P("match", "a pattern with * and ?", "body"),
               P("from", "start of the range, Unix seconds", "body", type="integer"),
               P("to", "its end, which is not in it", "body", type="integer"),
               P("token", "of the page before, to get the next one", "body"))),
        Route("/api/v1/ends", {"GET": whole.get_ends, "POST": whole.post_ends}, Access.READ,
              "when the first and the last buckets of counters were", limits.body,
              (P("name", "a counter", many=True, needed=True, methods=("GET",)),
               P("names", "counters", "body", many=True, needed=True)), "name=a"),
    )


def _describing(describing: Describing, limits: HttpLimits) -> Route:
    return Route(
        "/api/v1/describe", {"GET": describing.get_describe, "POST": describing.post_describe}, Access.READ,
        "unit, kind, help and link of counters, as senders declare them; without names, of all metrics", limits.body,
        (P("name", "a counter", many=True, methods=("GET",)),
         P("match", "without names: a pattern for those of metrics", methods=("GET",)),
         P("limit", "most rows of an answer", type="integer", methods=("GET",)),
         P("token", "of the page before, to get the next one", methods=("GET",)),
         P("names", "counters", "body", many=True, needed=True)))


def _changes(changes: Changes, limits: HttpLimits) -> Sequence[Route]:
    names = P("names", "counters", "body", many=True)
    match = P("match", "a pattern; to delete also several, and beside names", "body")
    confirm = P("confirm", "do it; without, only say what would be done", "body", type="boolean")
    expected = P("expected", "how many are meant, or nothing is done", "body", type="integer")
    return (
        Route("/api/v1/delete", {"POST": changes.delete}, Access.ADMIN, "delete counters; a dry run unless confirmed",
              limits.body, (names, match, confirm, expected)),
        Route("/api/v1/undelete", {"POST": changes.undelete}, Access.ADMIN, "undo deletes", limits.body,
              (names, match)),
        Route("/api/v1/deleted", {"GET": changes.get_deleted}, Access.ADMIN, "deleted counters that are not gone yet",
              parameters=(P("match", "a pattern with * and ?"), P("limit", "most rows of an answer", type="integer"),
                          P("token", "of the page before, to get the next one"))),
        Route("/api/v1/rename", {"POST": changes.rename}, Access.ADMIN, "rename counters; a dry run unless confirmed",
              limits.body, (P("from", "a name, or all below a prefix: old.prefix.*", "body", needed=True),
                            P("to", "its new name, or new.prefix.*", "body", needed=True), confirm, expected)),
        Route("/api/v1/replica/promote", {"POST": changes.promote}, Access.ADMIN,
              "make this replica a master; its old one is told, and fenced", limits.body),
        Route("/api/v1/clock/confirm", {"POST": changes.confirm_clock}, Access.ADMIN,
              "the clock is right: old data may go", limits.body),
    )


def _files(files: Files) -> Sequence[Route]:
    return (
        Route("/", {"GET": files.get_named}, Access.OPEN, "a file of the page's folder",
              parameters=(P("f", "its name", needed=True),), example="f=index.html", given="f", shown="/?f=NAME"),
        Route("/files/", {"GET": files.get_below}, Access.OPEN, "a file of the page's folder", below=True,
              shown="/files/NAME"),
    )


def _kept(kept: Kept, limits: HttpLimits, is_open: bool) -> Sequence[Route]:
    write = Access.READ if is_open else Access.WRITE
    name, in_body = P("name", "the namespace"), P("name", "the namespace", "body", needed=True)
    pages = (P("limit", "most rows of an answer", type="integer"),
             P("token", "of the page before, to get the next one"))
    return (
        Route("/api/v1/namespaces", {"GET": kept.get_namespaces}, Access.READ, "the namespaces there are",
              parameters=pages),
        Route("/api/v1/namespace", {"GET": kept.get_keys}, Access.READ, "keys of a namespace with their versions",
              parameters=(name, P("match", "a pattern with * and ?"), *pages), example="name=x"),
        Route("/api/v1/namespace", {"POST": kept.post_changes}, write, "change keys of a namespace", limits.body,
              (in_body, P("changes", "an object of keys and values; null deletes", "body", "object", needed=True),
               P("expected", "an object: the versions that keys have, or nothing is done", "body", "object"))),
        Route("/api/v1/namespace/versions", {"GET": kept.get_versions}, Access.READ, "what a key was, and when",
              parameters=(name, P("key", "a key", needed=True), *pages), example="name=x&key=key"),
        Route("/api/v1/namespace/restore", {"POST": kept.post_restore}, write, "bring an earlier version of a key back",
              limits.body, (in_body, P("key", "a key", "body", needed=True),
                            P("version", "its number", "body", "integer", needed=True))),
    )


def _settings(settings: Settings, limits: HttpLimits, is_open: bool) -> Sequence[Route]:
    name = P("s", "the namespace", needed=True)
    return (
        Route("/", {"GET": settings.get_settings}, Access.READ, "values of a namespace, as istatd answers",
              parameters=(name, P("sk", "a pattern with * and ?: of these keys only")), given="s", shown="/?s=NAME"),
        Route("/", {"POST": settings.post_settings}, Access.READ if is_open else Access.WRITE,
              "change a namespace: an object of keys and values, '' deletes", limits.body, (name,),
              shown="/?s=NAME"),
    )


def _replicas(replicas: Replicas, limits: HttpLimits) -> Sequence[Route]:
    name = P("name", "the replica's", needed=True)
    term = P("term", "the highest that it has heard of", type="integer")
    place = tuple(P(one, "of the position", type="integer", needed=True)
                  for one in ("epoch", "segment", "offset", "salt"))
    return (
        Route("/api/v1/replica/declared", {"GET": replicas.get_declared}, Access.REPLICA,
              "what is declared of metrics, unless it is known already", parameters=(
                  P("known", "the stamp of what is known"),)),
        Route("/api/v1/replica/state", {"GET": replicas.get_state}, Access.REPLICA, "how a server stands to others"),
        Route("/api/v1/replica/lease", {"POST": replicas.post_lease, "DELETE": replicas.delete_lease}, Access.REPLICA,
              "have files and the journal kept for a replica, or no more", limits.body,
              (P("name", "the replica's", "body", needed=True, methods=("POST",)),
               P("term", term.help, "body", "integer", methods=("POST",)),
               P("url", "where it can be asked", "body", methods=("POST",)),
               P("name", name.help, needed=True, methods=("DELETE",)))),
        Route("/api/v1/replica/file", {"GET": replicas.get_file}, Access.REPLICA, "a file of a lease",
              parameters=(name, P("path", "one that the lease names", needed=True), term)),
        Route("/api/v1/replica/journal", {"GET": replicas.get_journal}, Access.REPLICA, "synced bytes of the journal",
              parameters=(name, term, P("revision", "of the copy", type="integer", needed=True),
                          P("store", "of the position", needed=True), *place,
                          P("wait", "seconds for more, where there is nothing", type="integer"),
                          P("most", "bytes wanted", type="integer"),
                          P("keep", "the oldest segment that may be asked for again", type="integer"),
                          P("applied", "clock of the last frame that was applied", type="integer"))),
        Route("/api/v1/replica/namespaces", {"GET": replicas.get_namespaces}, Access.REPLICA,
              "namespaces and their stamps, or the files of one", parameters=(P("name", "the namespace"),)),
        Route("/api/v1/replica/fence", {"POST": replicas.post_fence}, Access.REPLICA,
              "take nothing any more, as another server has taken the place", limits.body,
              (P("store", "the UUID of the store that is meant", "body", needed=True),
               P("term", "of the one that takes the place", "body", "integer", needed=True),
               P("by", "where that one is", "body", needed=True))),
    )


def _istatd(istatd: Istatd, limits: HttpLimits) -> Sequence[Route]:
    whole = {name: P(name, text, type="integer") for name, text in {
        "start": "Unix seconds", "end": "Unix seconds", "samples": "most buckets, 0 for all",
        "trailing": "not 0: of a seasonal level"}.items()}
    return (
        Route("/", {"GET": istatd.get_agents}, Access.READ, "who sent what, in istatd's words",
              parameters=(P("a", "*", needed=True),), example="a=*", given="a", shown="/?a=*"),
        Route("/", {"GET": istatd.get_listing}, Access.READ, "counters that fit a pattern, and their prefixes",
              parameters=(P("q", "a pattern with * and ?", needed=True),), example="q=*", given="q",
              shown="/?q=PATTERN"),
        Route("/*", {"POST": istatd.post_counters}, Access.READ, "several counters' buckets, as istatd answers",
              limits.body, (P("keys", "counters", "body", many=True, needed=True),
                            P("start", "Unix seconds", "body", type="integer"),
                            P("stop", "Unix seconds", "body", type="integer"),
                            P("maxSamples", "most buckets of each", "body", type="integer"),
                            P("compact", "buckets as arrays", "body", type="boolean"),
                            P("trailing", "not 0: of a seasonal level", "body", type="integer"))),
        Route("/files", {"GET": istatd.get_counter, ANY: istatd.no_counter}, Access.READ, "the counter of this name"),
        Route("/", {"GET": istatd.get_counter, ANY: istatd.no_counter}, Access.READ,
              "one counter's buckets, as istatd answers", parameters=(*whole.values(), P("format", "json or csv")),
              below=True, shown="/<counter>"),
    )


def _nothing(req: falcon.Request, resp: falcon.Response) -> None:
    refuse(resp, 404, f"{NO_PATH}: there is nothing at {req.path[:200]}")
