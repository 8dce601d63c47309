import base64
import hashlib
import re


def test_the_page_needs_nothing_from_elsewhere(http):
    page = http.get("/").text
    assert "<title>Chiliad</title>" in page
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", page)
    assert not re.findall(r"@import|url\((?!data:)", page)


def test_the_policy_allows_the_pages_own_script_and_no_other(http):
    reply = http.get("/")
    script = re.search("<script>(.*?)</script>", reply.text, re.DOTALL)[1]
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()

    policy = reply.headers["content-security-policy"]
    assert f"script-src 'sha256-{allowed}';" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
