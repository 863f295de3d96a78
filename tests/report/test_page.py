"""The page of a bench: whole, readable by a parser, nothing asked of a network, strange words escaped."""

from __future__ import annotations

import math
import re
import shutil
import socketserver
import subprocess
import threading
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, ClassVar

import pytest

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")

from pillars.measure import Audit, AuditRow, AuditState, Bench, compare, environment
from pillars.measure.bench._results import Crossover
from pillars.report import audit_page, bench_page
from pillars.report._summary import crossover_lines

VOID = {"meta", "br", "link", "img", "input", "hr"}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Reader(HTMLParser):
    """Tags that close in order, ids, rows of each table, and whatever an attribute would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.rows: dict[str, int] = {}
        self.table = ""
        self.fetched: list[str] = []
        self.svgs = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids += [given["id"]] if "id" in given else []
        self.svgs += tag == "svg"
        for name in ("src", "href", "xlink:href", "action", "data"):
            if name in given and not given[name].startswith("#"):
                self.fetched.append(given[name])
        if tag == "table":
            self.table = given.get("id", "")
            self.rows[self.table] = 0
        if tag == "tr":
            self.rows[self.table] += 1
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


def test_tables_and_pictures_are_there(bench: Bench) -> None:
    reader = read(bench_page(bench))
    operations = {row.operation for row in bench.operations}
    assert reader.svgs == len(operations) + 1
    heads = 1
    assert reader.rows == {
        "machine": heads + len(bench.ceilings),
        "job": heads + len(bench.job.runs),
        "operations": heads + len(bench.operations),
        "gradients": heads + len(bench.gradients),
    }


def test_a_comparison_stands_on_the_page(bench: Bench) -> None:
    """Every row that changed, either way, and in words how many; none of it where nothing was compared."""
    steady = bench.operations[0].steady
    assert steady is not None
    was = steady._replace(median=steady.median / 9, low=steady.low / 9, high=steady.high / 9)
    older = bench._replace(operations=(bench.operations[0]._replace(steady=was), *bench.operations[1:]))
    page = bench_page(bench, compare(bench, older))
    assert read(page).rows["comparison"] == 2
    assert re.search(r'class="bad" data-value="(9\.0|8\.99)\d*">9.0× slower', page)
    assert "1 row is slower" in page, re.findall("[0-9]+ rows? [^<]*", page)
    assert "0 rows are slower" in bench_page(bench, compare(bench, bench))
    back = bench_page(older, compare(older, bench))
    assert "9.0× faster" in back
    assert 'id="comparison"' not in bench_page(bench)


def test_nothing_is_fetched_and_no_id_is_given_twice(bench: Bench) -> None:
    page = bench_page(bench)
    reader = read(page)
    assert reader.fetched == []
    assert len(set(reader.ids)) == len(reader.ids)
    assert "default-src 'none'" in page
    # names of XML's vocabularies are no addresses
    assert set(re.findall(r'[a-z]+://[^"\s<>)]+', page)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert not re.search(r"url\((?!#)", page)
    assert "@import" not in page


def test_pictures_are_xml_with_words_and_the_page_s_own_ink(bench: Bench) -> None:
    page = bench_page(bench)
    pictures = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    for picture in pictures:
        root = ET.fromstring(picture)  # noqa: S314 - our own
        words = " ".join(text.strip() for text in root.itertext() if text.strip())
        assert "bytes" in words or "byte" in words
        assert "seconds" in words or "a second" in words
        assert "numpy" in words
        assert "currentColor" in picture
        assert "#010203" not in picture
        assert "limit" in words


def test_the_words_are_those_of_the_terminal(bench: Bench) -> None:
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", bench_page(bench)))
    for said in (
        "numpy and jax agree with the float64 reference",
        "Large sizes: jax is faster on 3 of 3",
        "Where the faster one changes, jax is faster than numpy from this many bytes on: linear 320 kB.",
        "25.0 GB/s",
        "200 GFLOP/s",
        "436/450 = 96.9%",
        "no CUDA-capable device is detected",
    ):
        assert said in text, said


def test_a_size_range_is_told_by_both_its_ends(bench: Bench) -> None:
    twice = (Crossover("linear", "jax", "numpy", 750.0), Crossover("linear", "numpy", "jax", 1.8e6))
    found = [line.plain for line in crossover_lines(bench._replace(crossovers=twice))]
    assert found[0].endswith("than jax from this many bytes on: linear 750 B until 1.80 MB.")
    assert found[1].endswith("than numpy from this many bytes on: linear 1.80 MB.")


def test_the_page_of_an_audit() -> None:
    held = AuditRow("layers.linear", "numpy", "central", 1.5e-12, 1e-9, True, "16 entries")
    apart = AuditRow(
        "layers.linear", "numpy", "complex_step", math.nan, math.nan, None, "it refuses <complex>: no"
    )
    rule = held._replace(operation="grad.exp", error=0.25, ok=False)
    states = (
        AuditState("numpy", True, "2.4", ("cpu",), "", "float64"),
        AuditState("cupy", False, None, (), "no CUDA-capable device is detected", ""),
    )
    page = audit_page(Audit("pillars.audit/1", {}, states, (held, apart, rule)), environment())
    reader = read(page)
    assert reader.rows == {"operations": 2, "functions": 2}
    assert reader.fetched == []
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", page))
    for said in (
        "✘ 1 of 2 gradient checks failed; 1 do not apply.",
        "grad.exp (numpy, central): error 2.5e-01, tolerance 1.0e-09. 16 entries",
        "not run: no CUDA-capable device is detected",
        "1 × complex step: it refuses &lt;complex&gt; (layers.linear)",
    ):
        assert said in text, said
    assert 'title="it refuses &lt;complex&gt;: no"' in page
    assert 'title="tolerance 1.0e-09; 16 entries"' in page
    alone = audit_page(Audit("pillars.audit/1", {}, states, (held,)), environment())
    assert read(alone).rows == {"operations": 2}


def test_what_is_wrong_is_shown_and_words_are_escaped(broken: Bench) -> None:
    script = "<script>alert(1)</script>"
    wrong = broken._replace(findings=(*broken.findings, script))
    page = bench_page(wrong)
    assert script not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert 'class="verdict bad"' in page
    assert "failed: RuntimeError: out of memory" in page
    read(page)


def test_one_backend_nothing_timed_no_ceilings(bench: Bench) -> None:
    bare = bench._replace(
        ceilings=(),
        crossovers=(),
        operations=tuple(
            row._replace(steady=None, least=None) for row in bench.operations if row.backend == "numpy"
        ),
        gradients=(),
    )
    reader = read(bench_page(bare))
    assert reader.rows["gradients"] == 1


def in_browser(page: Path, folder: Path, *options: str) -> str:
    assert CHROMIUM is not None
    quiet = (
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
    )
    command: list[Any] = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", *quiet]
    command += [f"--user-data-dir={folder / 'profile'}", *options, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here to open the page with")
def test_a_browser_opens_it(bench: Bench, tmp_path: Path) -> None:
    page = tmp_path / "bench.html"
    page.write_text(bench_page(bench), encoding="utf-8")
    dom = in_browser(page, tmp_path, "--dump-dom")
    assert dom.count("<button>") >= 9 + 12 + 9  # the script ran: every heading of three tables sorts
    assert dom.count("<svg") == 1 + len({row.operation for row in bench.operations})
    # clicked in the page itself: what is sorted by time has the fastest row first
    click = "<script>document.querySelectorAll('#operations th button')[9].click()</script></body>"
    page.write_text(bench_page(bench).replace("</body>", click), encoding="utf-8")
    body = in_browser(page, tmp_path, "--dump-dom").split('id="operations"')[1]
    times = [
        float(found)
        for found in re.findall(r'<td data-value="([^"]+)">[^<]*s</td><td data-value="[^"]+">±', body)
    ]
    assert times[: len(bench.operations)] == sorted(
        row.steady.median for row in bench.operations if row.steady
    )


class Counting(socketserver.StreamRequestHandler):
    """A proxy that writes down what it is asked for and answers nothing."""

    asked: ClassVar[list[str]] = []

    def handle(self) -> None:
        self.asked.append(self.rfile.readline().decode("latin-1").strip())


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here to open the page with")
def test_no_request_leaves_it(bench: Bench, tmp_path: Path) -> None:
    """A browser that reaches the network through a proxy alone asks it for nothing."""
    page = tmp_path / "bench.html"
    whole = bench_page(bench)
    opened = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", whole)
    assert opened != whole
    picture = '<img src="http://pictures.invalid/planted.png"></body>'
    Counting.asked.clear()
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Counting) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        through = (f"--proxy-server=http://127.0.0.1:{proxy.server_address[1]}", "--dump-dom")

        def asks(text: str) -> list[str]:
            Counting.asked.clear()
            page.write_text(text, encoding="utf-8")
            assert "</svg>" in in_browser(page, tmp_path, *through)
            # the browser's own errands, and a connection that it opens to have it and asks nothing of
            return [line for line in Counting.asked if line and "google" not in line]

        assert any("planted.png" in line for line in asks(opened.replace("</body>", picture)))
        assert asks(opened) == []  # with no policy that would forbid it
        assert asks(whole.replace("</body>", picture)) == []
        proxy.shutdown()
