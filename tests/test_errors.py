"""errors: identity that survives pickling, and addresses without their secrets."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.errors import IngestError, LakeError, RejectedError, TransientError, UsageError, mask_url, one_line


@pytest.mark.parametrize("cls", [IngestError, LakeError, RejectedError, TransientError, UsageError])
def test_errors_survive_pickling(cls: type[IngestError]) -> None:
    error = cls("feed a is no feed", reason="not_a_feed", url="https://u:p@a.example/feed")
    if isinstance(error, TransientError):
        error.retry_after_seconds = 7.0
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is cls
    assert (str(back), back.reason, back.url) == ("feed a is no feed", "not_a_feed", "https://***@a.example/feed")
    assert back.__dict__ == error.__dict__


def test_a_default_reason_is_the_kind() -> None:
    assert (RejectedError("x").reason, TransientError("x").reason) == ("rejected", "transient")


@pytest.mark.parametrize(
    "url, masked",
    [
        ("https://a.example/feed?page=2", "https://a.example/feed?page=2"),
        ("https://user:pw@a.example/feed", "https://***@a.example/feed"),
        ("https://a.example/feed?key=abc&page=2", "https://a.example/feed?key=***&page=2"),
        ("https://a.example/feed?access_token=abc", "https://a.example/feed?access_token=***"),
        ("https://a.example/feed?X-Amz-Signature=ab", "https://a.example/feed?X-Amz-Signature=***"),
        ("https://a.example/feed?u=a1B2c3D4e5F6g7H8i9J0k1L2", "https://a.example/feed?u=***"),
        ("https://a.example/private/a1B2c3D4e5F6g7H8i9J0k1L2/rss", "https://a.example/private/***/rss"),
        ("https://a.example/2026/03/a-headline-of-several-words-12345", None),
        ("https://a.example/keyboard?monkey=1", None),
        ("https://[::1/feed", "(unreadable address)"),
    ],
)
def test_feed_addresses_lose_their_secrets(url: str, masked: str | None) -> None:
    assert mask_url(url) == (masked or url)


def test_page_addresses_stay_usable_but_for_named_secrets() -> None:
    url = "https://a.example/a1B2c3D4e5F6g7H8i9J0k1L2?id=a1B2c3D4e5F6g7H8i9J0k1L2&token=x"
    assert mask_url(url, by_name_only=True) == url.replace("token=x", "token=***")


@given(st.text())
def test_masking_never_fails_and_gives_one_line(text: str) -> None:
    assert "\n" not in mask_url(text)
    assert mask_url(mask_url(text)) == mask_url(text)


def test_one_line_takes_control_characters_out() -> None:
    assert one_line("a\x1b[31m\r\nb\u2028c") == "a [31m b c"
    assert one_line("x" * 500) == "x" * 399 + "…"
