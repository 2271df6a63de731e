"""What is sealed opens with its own key and for its own purpose, and with nothing else."""

import base64

import pytest

from records.sealing import BadRing, KeyRing, Unsealable

SECRET = "张三 13812345678".encode()


def key(fill: int) -> str:
    return base64.b64encode(bytes([fill]) * 32).decode()


def ring(text: str = f"new:{key(1)},old:{key(2)},index:{key(3)}") -> KeyRing:
    return KeyRing.read(text)


def test_what_is_sealed_opens_and_never_looks_the_same_twice() -> None:
    sealed = ring().seal(SECRET, "customer/1")
    assert ring().open(sealed, "customer/1") == SECRET
    assert sealed.startswith("new.")
    assert sealed != ring().seal(SECRET, "customer/1")


def test_a_rotated_ring_still_opens_what_the_old_key_sealed() -> None:
    sealed = ring(f"old:{key(2)},index:{key(3)}").seal(SECRET, "customer/1")
    assert ring().open(sealed, "customer/1") == SECRET
    assert KeyRing.key_of(sealed) == "old" != ring().current


@pytest.mark.parametrize("change", ["about", "byte", "key", "rubbish"])
def test_what_was_sealed_otherwise_does_not_open(change: str) -> None:
    sealed = ring().seal(SECRET, "customer/1")
    tampered = {
        "about": sealed,
        "byte": sealed[:-6] + ("A" if sealed[-6] != "A" else "B") + sealed[-5:],
        "key": sealed.replace("new.", "gone.", 1),
        "rubbish": "new.!",
    }[change]
    with pytest.raises(Unsealable) as raised:
        ring().open(tampered, "customer/2" if change == "about" else "customer/1")
    assert "138" not in str(raised.value)


def test_a_blind_index_depends_on_text_purpose_and_key() -> None:
    index = ring().index("13812345678", "phone")
    assert index == ring().index("13812345678", "phone")
    assert index == ring(f"newer:{key(9)},index:{key(3)}").index("13812345678", "phone")
    others = [
        ring().index("13812345679", "phone"),
        ring().index("13812345678", "email"),
        ring(f"new:{key(1)},index:{key(4)}").index("13812345678", "phone"),
    ]
    assert index not in others


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "needs a key"),
        (f"new:{key(1)}", "called index"),
        (f"index:{key(1)}", "a key to seal with"),
        (f"new:{key(1)},new:{key(2)},index:{key(3)}", "each name once"),
        (f"new:tooshort,index:{key(3)}", "not base64|32 bytes"),
        (f"a b:{key(1)},index:{key(3)}", "name:base64"),
        (f"n.w:{key(1)},index:{key(3)}", "letters"),
    ],
)
def test_a_bad_ring_says_why(text: str, reason: str) -> None:
    with pytest.raises(BadRing, match=reason):
        KeyRing.read(text)


def test_a_ring_that_was_made_can_be_read() -> None:
    made = KeyRing.read(KeyRing.make("first"))
    assert made.current == "first"
    assert made.open(made.seal(SECRET, "x"), "x") == SECRET
