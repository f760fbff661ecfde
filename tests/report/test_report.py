"""The report: names as text, nothing from outside, what must be seen is seen first."""

import html
import html.parser
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import runs
from browsers import document_of, run_browser

from bayes_crlm.report.page import figure
from bayes_crlm.words.shown import duration, number, probability_in_words

nasty_run, rows_run = runs.nasty_run, runs.rows_run
synthetic_run, short_run = runs.synthetic_run, runs.short_run

ALL = ["nasty_run", "rows_run", "synthetic_run", "short_run"]


class Page(html.parser.HTMLParser):
    """The tags of a page with their attributes, and its text without the style sheet's."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.inside = [], "", []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.inside.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if tag in self.inside:
            while self.inside.pop() != tag:
                pass

    def handle_data(self, data):
        if "style" not in self.inside:
            self.text += data


@pytest.mark.parametrize("name", ALL)
def test_nothing_is_asked_from_outside(name, request):
    page = Page(request.getfixturevalue(name).report)
    assert not {"script", "link", "iframe", "object", "embed", "base", "form", "img"} & {
        tag for tag, _ in page.tags
    }
    for tag, attributes in page.tags:
        for key, value in attributes.items():
            assert not key.startswith("on"), (tag, key)
            if key in ("href", "src", "xlink:href", "srcset", "data", "action"):
                assert value.startswith("#"), (tag, key, value)
            if key in ("style", "clip-path", "fill", "filter"):
                assert not re.search(r"url\((?!#)", value), (tag, key, value)
    styles = " ".join(re.findall(r"<style.*?</style>", request.getfixturevalue(name).report, re.S))
    assert "url(" not in styles
    assert "@import" not in styles
    (policy,) = [
        attributes["content"]
        for tag, attributes in page.tags
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert "default-src 'none'" in policy


@pytest.mark.parametrize("name", ALL)
def test_ids_are_unique_and_references_lead_somewhere(name, request):
    page = Page(request.getfixturevalue(name).report)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.tags:
        for key, value in attributes.items():
            if key in ("href", "xlink:href") and value.startswith("#"):
                assert value[1:] in ids
            for reference in re.findall(r"url\(#([^)]+)\)", value or ""):
                assert reference in ids
            if key == "aria-labelledby":
                assert value in ids


def test_markup_in_names_is_shown_as_text(nasty_run):
    page = Page(nasty_run.report)
    assert not {"b", "i"} & {tag for tag, _ in page.tags}
    shown = " ".join(page.text.split())
    for name in (*runs.LEVELS, runs.COVARIATE, "<script>alert(2)</script>", "<i>markup</i>"):
        assert name in shown
    for svg in (nasty_run.folder / "figures").iterdir():
        assert "<script" not in svg.read_text(encoding="utf-8")


def test_the_synthetic_cohort_is_labelled_everywhere(synthetic_run, nasty_run):
    page = Page(synthetic_run.report)
    said = "synthetic, not patient data"
    assert html.unescape(synthetic_run.report).index('id="synthetic"') < (
        synthetic_run.report.index("<h1>")
    )
    figures = list((synthetic_run.folder / "figures").iterdir())
    assert len(figures) == 8
    assert page.text.lower().count(said) >= 2 * len(figures) + 2
    for path in figures:
        assert said in path.read_text(encoding="utf-8"), path.name
    for path in (synthetic_run.folder / "tables").iterdir():
        assert said in path.read_text(encoding="utf-8"), path.name
    assert said in synthetic_run.output
    assert said not in nasty_run.report.lower()


def test_what_is_not_to_be_trusted_is_said_first(short_run, nasty_run):
    text = " ".join(Page(short_run.report.split("<body>")[1]).text.split())
    assert text.startswith("Do not trust these results.")
    for failure in short_run.summary["diagnostics"]["failures"]:
        assert failure in text
    assert 'id="untrustworthy"' not in nasty_run.report


def test_the_answer_is_one_sentence_with_its_uncertainty(nasty_run):
    text = " ".join(Page(nasty_run.report).text.split())
    for row in nasty_run.summary["hazard_ratios"]:
        low, high = row["eti95"]
        assert (
            f"With arm = {row['treatment']} the hazard of the event was {row['median']:.2f} times "
            f"that with {row['reference']} (95% credible interval {low:.2f} to {high:.2f}); "
            "probability that the hazard is lower: "
        ) in text


@pytest.mark.parametrize("name", ALL)
def test_every_part_is_there(name, request):
    run = request.getfixturevalue(name)
    for part in (
        *("question", "answer", "data", "survival", "agreement", "priors", "diagnostics"),
        "reproduce",
    ):
        assert f'<section id="{part}">' in run.report
    figures = {path.stem for path in (run.folder / "figures").iterdir()}
    for figure_name in figures:
        assert f'id="figure-{figure_name}"' in run.report
    # ArviZ's Kaplan-Meier knows no delayed entry
    assert "predictive" in figures


def test_the_spec_on_the_page_is_the_spec(nasty_run):
    shown = re.search(r"<pre>(.*?)</pre>", nasty_run.report, re.S)[1]
    # but for the data's folder, which is nobody else's business
    spec = (nasty_run.folder / "spec.toml").read_text(encoding="utf-8")
    assert spec.count("../nasty.csv") == 1
    assert html.unescape(shown).strip() == spec.replace("../nasty.csv", "nasty.csv").strip()


def test_a_browser_shows_the_page_and_asks_for_nothing_else(nasty_run, tmp_path):
    asked = []
    # a script that measures is put in by the server; the page's own policy is left as it is
    # except for that script
    page = nasty_run.report.replace("default-src 'none';", "default-src 'none'; script-src 'self';")
    page = page.replace("</body>", '<script src="/measure.js"></script></body>')
    measure = """
        const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
        const out = [...document.querySelectorAll('p, h1, h2, h3, li, dd, figcaption, pre')]
          .filter(each => each.getBoundingClientRect().right > innerWidth + 1).length;
        const markup = document.querySelectorAll('b, i').length;
        document.body.dataset.measured = `${wide} ${out} ${markup}`;
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            body = {"/": page, "/measure.js": measure}.get(self.path)
            self.send_response(200 if body else 404)
            kind = "text/javascript" if self.path.endswith(".js") else "text/html"
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.end_headers()
            self.wfile.write((body or "").encode())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        seen = document_of(f"http://127.0.0.1:{server.server_port}/", tmp_path / "profile")
    finally:
        server.shutdown()
        server.server_close()
    # browsers ask for an icon by themselves
    assert set(asked) - {"/favicon.ico"} == {"/", "/measure.js"}
    assert 'data-measured="0 0 0"' in seen


def test_the_page_prints(synthetic_run, tmp_path):
    page, printed = synthetic_run.folder / "report.html", tmp_path / "report.pdf"
    run_browser(tmp_path / "profile", f"--print-to-pdf={printed}", str(page))
    assert printed.read_bytes().startswith(b"%PDF")
    assert printed.stat().st_size > 20_000


@pytest.mark.parametrize(
    ("probability", "draws", "words"),
    [
        (0.5, 4000, "0.50"),
        (0.9934, 40000, "0.993"),
        (1.0, 4000, "above 0.999"),
        (0.0, 4000, "below 0.001"),
        (0.0, 50, "below 0.1"),
        (None, 4000, "not available"),
    ],
)
def test_probabilities_have_no_more_digits_than_draws_support(probability, draws, words):
    assert probability_in_words(probability, draws) == words


def test_numbers_are_written_for_people():
    assert number(None) == number(float("nan")) == duration(float("inf")) == "–"
    assert number(0.42) == "0.42"
    assert number(0.0001) == "<0.01"
    assert number(1234.5, 0) == "1,234"
    assert duration(41.26) == "41.3"
    assert duration(93324.0) == "93,324"
    assert duration(0.0412) == "0.0412"


def test_text_that_looks_like_an_id_is_left_alone():
    svg = '<svg><g id="a"/><use href="#a"/><text>id="a" href="#a" url(#a)</text></svg>'
    made = figure(svg, "x")
    assert '<g id="x-a"/><use href="#x-a"/>' in made
    assert '<text>id="a" href="#a" url(#a)</text>' in made
