"""The page's files: their names, caching, compression and bounds."""

from __future__ import annotations

import gzip
import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from server.web import problems
from server.web.methods import heads_of
from server.web.page import FOLDER, POLICY, TYPES, Page, PageFile, minified, page_router, read_page

ROOT = Path(__file__).parents[3]
LARGEST = 60 * 1024
PAGE = read_page()


@pytest.fixture(scope="module")
def web() -> TestClient:
    app, router = FastAPI(), page_router(PAGE)
    problems.install(app)
    app.include_router(router)
    app.include_router(heads_of(router))
    return TestClient(app, headers={"Accept-Encoding": "identity"})


def hashed(name: str) -> str:
    return f"/browser/{PAGE.version}/{name}"


def test_the_page_is_small() -> None:
    """As it is transferred; browsers keep it."""
    assert sum(len(file.packed) for file in PAGE.files.values()) < LARGEST


def test_comments_and_indentation_are_left_out_and_nothing_else() -> None:
    script = """// What this is.

/** Return
 * a sum. */
export function sum(one, other) {
  // Why.
  const url = "http://here"; // its place
  return one + other; /* both */
}
"""
    assert (
        minified(script)
        == """
export function sum(one, other) {
const url = "http://here"; // its place
return one + other; /* both */
}
"""
    )


def test_every_file_of_the_folder_is_served_and_in_the_wheel() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    patterns = project["package-data"]["clients.browser"]
    names = {one.name for one in FOLDER.iterdir() if one.is_file()}
    assert names == set(PAGE.files)
    assert [name for name in names if not any(fnmatch(name, one) for one in patterns)] == []


def test_every_link_and_import_names_a_file_of_the_page() -> None:
    links = re.findall(r'"browser/([^"]+)"', PAGE.files["index.html"].data.decode())
    scripts = [file.data.decode() for name, file in PAGE.files.items() if name.endswith(".js")]
    imports = [name for text in scripts for name in re.findall(r'["\']\./([\w.-]+)["\']', text)]
    assert set(links) | set(imports) <= set(PAGE.files)
    assert {"app.js", "style.css"} <= set(links)


def test_the_first_answer_names_hashed_files(web: TestClient) -> None:
    answer = web.get("/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["content-security-policy"] == POLICY
    links = re.findall(r'"(browser/[^"]+)"', answer.text)
    assert [link for link in links if web.get(f"/{link}").status_code != 200] == []
    assert all(link.startswith(f"browser/{PAGE.version}/") for link in links)


@pytest.mark.parametrize("name", sorted(PAGE.files))
def test_each_file_is_kept_forever_under_its_hash(web: TestClient, name: str) -> None:
    answer = web.get(hashed(name))
    assert answer.content == PAGE.files[name].data
    assert answer.headers["content-type"] == TYPES[Path(name).suffix]
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in answer.headers


def test_other_sites_may_import_a_file_by_its_plain_name(web: TestClient) -> None:
    answer = web.get("/browser/stream.js")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.content == PAGE.files["stream.js"].data


def test_a_change_of_any_file_changes_the_hash() -> None:
    files = dict(PAGE.files) | {"wire.js": PageFile(b"//", TYPES[".js"])}
    assert Page(files).version != PAGE.version


@pytest.mark.parametrize("accepted", ["gzip", "deflate, gzip;q=0.5", "br, GZIP", "gzip ; q=1.0"])
def test_a_browser_that_takes_gzip_gets_it(web: TestClient, accepted: str) -> None:
    with web.stream("GET", "/", headers={"Accept-Encoding": accepted}) as answer:
        sent = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["vary"] == "Accept-Encoding"
    assert int(answer.headers["content-length"]) == len(sent) < len(PAGE.index.data)
    assert gzip.decompress(sent) == PAGE.index.data


@pytest.mark.parametrize("accepted", ["", "identity", "br", "gzip;q=0", "gzip; q=0.0, br"])
def test_a_browser_that_does_not_gets_the_bytes(web: TestClient, accepted: str) -> None:
    answer = web.get("/", headers={"Accept-Encoding": accepted})
    assert "content-encoding" not in answer.headers
    assert answer.content == PAGE.index.data


@pytest.mark.parametrize("path", ["/", "/browser/app.js", hashed("app.js")])
def test_what_a_browser_has_is_not_sent_again(web: TestClient, path: str) -> None:
    tag = web.get(path).headers["etag"]
    for known in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
        answer = web.get(path, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == tag
    assert web.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize("path", ["/", "/browser/app.js", hashed("app.js")])
def test_head_has_the_headers_of_get(web: TestClient, path: str) -> None:
    assert dict(web.head(path).headers) == dict(web.get(path).headers)


@pytest.mark.parametrize(
    "path", ["/browser/none.js", "/browser/__init__.py", "/browser/0123/app.js", hashed("none.js")]
)
def test_an_unknown_file_is_a_problem(web: TestClient, path: str) -> None:
    answer = web.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "not_found"


def test_the_page_takes_nothing_from_other_hosts() -> None:
    assert "default-src 'none'" in POLICY
    assert not re.search(r"https?:|\*|unsafe", POLICY)
