"""An index of sitemaps as a feed, against a server on loopback."""

from tests.servers import Reply, ScriptedServer
from tests.test_acquire import HOST, Memory
from transforms.acquire import AcquireConfig, Acquirer
from transforms.harvest_queue import Item
from transforms.parse_sitemap import parse_sitemap
from transforms.records import FeedSpec, Poll, feed_id_of


def listing(kind: str, *addresses: str) -> Reply:
    outer, inner = ("sitemapindex", "sitemap") if kind == "index" else ("urlset", "url")
    named = "".join(f"<{inner}><loc>{address}</loc></{inner}>" for address in addresses)
    return Reply(body=f"<{outer}>{named}</{outer}>", content_type="application/xml", headers={"ETag": '"1"'})


def test_an_index_is_one_feed_and_robots_txt_governs_what_it_names() -> None:
    with ScriptedServer() as server:
        at = [server.url(path, host=HOST) for path in ("/index.xml", "/news.xml", "/secret.xml", "/story")]
        server.routes.update(
            {
                "/robots.txt": Reply(body="User-agent: *\nDisallow: /secret", content_type="text/plain"),
                "/index.xml": listing("index", at[1], at[2]),
                "/news.xml": listing("pages", at[3]),
                "/secret.xml": listing("pages", at[3]),
                "/story": Reply(body="<html><body>Story</body></html>"),
            }
        )
        memory = Memory()
        config = AcquireConfig(user_agent="newsbeam/1", allow_hosts=(server.allow(HOST),), spacing_seconds=0)
        acquirer = Acquirer(config, memory=memory, parse=parse_sitemap)
        polls: list[Poll] = []
        for _ in range(2):
            acquirer.start([FeedSpec(feed_id_of(at[0]), at[0])])
            items: list[Item] = []
            while not acquirer.idle:
                items += acquirer.harvest(10, 5)
            memory.commit(items)
            polls += [item for item in items if isinstance(item, Poll)]
        acquirer.close()
        assert server.paths() == ["/index.xml", "/robots.txt", "/news.xml", "/story", "/index.xml", "/news.xml"]
    assert [(poll.status, poll.format, poll.new, poll.known) for poll in polls] == [
        ("ok", "sitemap_index", 1, 0),
        ("ok", "sitemap_index", 0, 1),
    ]
    assert [(poll.etag, poll.content_hash, poll.warnings) for poll in polls] == [
        (None, None, ("nested_robots_disallowed",))
    ] * 2
