"""Takes secrets out of a stream of bytes, however it is cut: as they are, and as base64, hex, URLs or JSON have them.

A secret of several lines is looked for as a whole and line by line. What a script does to one beyond that (reverses it,
encrypts it, prints it letter by letter with something in between) nobody can find.
"""

from __future__ import annotations

import base64
import re
import string
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple

MARK = "•••".encode()
LINE_LENGTH_MIN = 8
"""A shorter line of a secret with several is masked as part of the whole, not for itself."""
_FORM_BYTES_MIN = 4
# A line that ends in so many letters of base64 or hex may go on in the next: encoders wrap at 60, 64 or 76.
_WRAPPED_AFTER = 32
_ENCODED = string.ascii_letters + string.digits + "+/-_"
_LETTERS = frozenset(letter.encode() for letter in _ENCODED)
# Looked for in a text of which only this is left to see: a regular expression takes ten times as long.
_SHAPES = bytes(ord("a") if chr(byte) in _ENCODED else byte if byte in b"\r\n" else ord(" ") for byte in range(256))
_WRAPS = (b"a" * _WRAPPED_AFTER + b"\n", b"a" * _WRAPPED_AFTER + b"\r\n")
# What must stay known of what was passed on already, to tell whether a line end is a wrap.
_CONTEXT_BYTES = _WRAPPED_AFTER + 2
_SHORT_ESCAPES = {char: f"\\{letter}" for char, letter in zip("\"\\/'\n\r\t\b\f", "\"\\/'nrtbf", strict=True)}

# No encoder escapes these, unless it escapes everything.
_PLAIN = frozenset(string.ascii_letters + string.digits + "-._~")

Span = tuple[int, int]


class _Escaped:
    """A secret as an encoder writes it that leaves some characters alone and escapes others; which ones, varies."""

    def __init__(self, elements: Sequence[tuple[bytes, ...]]) -> None:
        """For each piece of the secret, in order, what may stand for it; none of these begins another."""
        self._elements = elements
        self._found = re.compile(b"".join(b"(?:%b)" % b"|".join(map(re.escape, element)) for element in elements))
        self._length_max = sum(max(map(len, element)) for element in elements)

    def spans(self, text: bytes) -> Iterator[Span]:
        return (found.span() for found in self._found.finditer(text))

    def unfinished(self, text: bytes) -> int:
        """Where an occurrence begins that the end of the text cuts off; the length of the text when none does."""
        window = max(len(text) - self._length_max + 1, 0)
        starts = {first[:1] for first in self._elements[0]}
        candidates = [at for at in range(window, len(text)) if text[at : at + 1] in starts]
        return next((at for at in candidates if self._is_cut_off(text, at)), len(text))

    def _is_cut_off(self, text: bytes, at: int) -> bool:
        for element in self._elements:
            for piece in element:
                if text.startswith(piece, at):
                    at += len(piece)
                    break
            else:
                rest = text[at:]
                return any(piece.startswith(rest) for piece in element)
        return False


class Forms(NamedTuple):
    """All that some secrets may look like."""

    literal: tuple[bytes, ...]
    wrapped: tuple[bytes, ...]  # those of them that encoders break into lines
    shared: tuple[bytes, ...]  # those of them with the secret's last bits in the letter behind
    percent: tuple[bytes, ...]  # every byte escaped
    backslash: tuple[bytes, ...]  # every character escaped
    percent_some: tuple[_Escaped, ...]
    backslash_some: tuple[_Escaped, ...]

    def spans(self, text: bytes) -> list[Span]:
        """Where they stand in a text, in no order."""
        found = [span for form in self.literal for span in self._occurrences(text, form)]
        if b"%" in text:
            found += [span for form in self.percent for span in _occurrences(text, form)]
            found += [span for escaped in self.percent_some for span in escaped.spans(text)]
        if b"\\" in text:
            found += [span for form in self.backslash for span in _occurrences(text, form)]
            found += [span for escaped in self.backslash_some for span in escaped.spans(text)]
        if self.wrapped and (joined := _Joined.of(text)) is not None:
            found += [joined.span(span) for form in self.wrapped for span in self._occurrences(joined.text, form)]
        return found

    def _occurrences(self, text: bytes, form: bytes) -> Iterator[Span]:
        shared = form in self.shared
        for start, end in _occurrences(text, form):
            yield start, end + (shared and text[end : end + 1] in _LETTERS)

    def unfinished(self, text: bytes) -> int:
        """Where the first occurrence begins that the end of the text cuts off; the length of the text when none does.

        At most the last `reach` bytes of a text matter.
        """
        ends = [self._cut_off(text, form) for form in (*self.literal, *self.percent, *self.backslash)]
        if b"%" in text:
            ends += [escaped.unfinished(text) for escaped in self.percent_some]
        if b"\\" in text:
            ends += [escaped.unfinished(text) for escaped in self.backslash_some]
        whole = text.removesuffix(b"\r")
        joined = _Joined.of(whole) if self.wrapped else None
        if joined is not None:
            cuts = [self._cut_off(joined.text, form) for form in self.wrapped]
            ends += [joined.place(cut) for cut in cuts if cut < len(joined.text)]
        elif len(whole) < len(text):
            ends += [cut for form in self.wrapped if (cut := self._cut_off(whole, form)) < len(whole)]
        return min(ends, default=len(text))

    def _cut_off(self, text: bytes, form: bytes) -> int:
        """As below; one whose last bits are in the next letter is cut off as long as that has not come."""
        if form in self.shared and text.endswith(form):
            return len(text) - len(form)
        return _cut_off(text, form)

    @property
    def reach(self) -> int:
        """Upper bound of the length of an occurrence, line ends at which it is wrapped included."""
        longest = max(map(len, (*self.literal, *self.percent, *self.backslash)), default=0) + 1
        return longest * (_WRAPPED_AFTER + 2) // _WRAPPED_AFTER + _CONTEXT_BYTES


class _Joined(NamedTuple):
    """A text without the line ends at which an encoder may have wrapped it."""

    text: bytes
    at: list[int]  # where in it a line end was taken out
    removed: list[int]  # how many bytes were taken out up to there

    @classmethod
    def of(cls, text: bytes) -> _Joined | None:
        shapes = text.translate(_SHAPES)
        wraps = sorted(span for wrap in _WRAPS for span in _occurrences(shapes, wrap))
        if not wraps:
            return None
        pieces, places, removed, after, gone = [], [], [], 0, 0
        for begin, end in wraps:
            start = begin + _WRAPPED_AFTER
            pieces.append(text[after:start])
            places.append(start - gone)
            gone += end - start
            removed.append(gone)
            after = end
        pieces.append(text[after:])
        return cls(b"".join(pieces), places, removed)

    def place(self, index: int) -> int:
        """Where a byte of it stands in the text that it was made of."""
        passed = bisect_right(self.at, index)
        return index + (self.removed[passed - 1] if passed else 0)

    def span(self, span: Span) -> Span:
        return self.place(span[0]), self.place(span[1] - 1) + 1


class Masker:
    """Masks one stream. What could be the beginning of a secret is held back until more comes, or the end."""

    def __init__(self, forms: Forms) -> None:
        self._forms = forms
        self._reach = forms.reach
        self._text = b""
        self._passed_on = 0  # so much at the beginning of the text is out already

    def feed(self, piece: bytes, *, final: bool = False) -> bytes:
        """What can be passed on now, masked; with `final`, all of it."""
        text = self._text + piece
        spans = sorted(self._forms.spans(text))
        keep = len(text) if final else self._settled(text)
        passed, done = self._pass_on(text, spans, keep)
        begin = max(min(keep, done) - _CONTEXT_BYTES, 0)
        self._text, self._passed_on = text[begin:], done - begin
        return passed

    def _settled(self, text: bytes) -> int:
        before = max(len(text) - self._reach, 0)
        return before + self._forms.unfinished(text[before:])

    def _pass_on(self, text: bytes, spans: list[Span], keep: int) -> tuple[bytes, int]:
        done, out = self._passed_on, []
        for start, end in spans:
            if end <= done:
                continue
            if start >= keep:
                break
            if start >= done:
                out += [text[done:start], MARK]
            # One that begins in what is out already overlaps one that was masked.
            done = end
        if done < keep:
            out.append(text[done:keep])
            done = keep
        return b"".join(out), done


def masked(text: bytes, forms: Forms) -> bytes:
    """A whole text without its secrets."""
    return Masker(forms).feed(text, final=True)


def forms_of(secrets: tuple[str, ...], credential: str = "") -> Forms | None:
    """Everything that an attempt's secrets and its credential may look like; None when it has neither."""
    parts = [*([_known_forms(secrets)] if secrets else []), *([_forms((credential,))] if credential else [])]
    if not parts:
        return None
    return Forms(*(sum(forms, ()) for forms in zip(*parts, strict=True)))


def _forms(secrets: tuple[str, ...]) -> Forms:
    literal: dict[bytes, None] = {}
    wrapped: dict[bytes, None] = {}
    shared: dict[bytes, None] = {}
    percent: dict[bytes, None] = {}
    backslash: dict[bytes, None] = {}
    percent_some, backslash_some = [], []
    for secret in filter(None, secrets):
        encoded = dict(_encoded(secret.encode()))
        literal |= dict.fromkeys((*_as_it_is(secret), *encoded))
        wrapped |= dict.fromkeys(encoded)
        shared |= dict.fromkeys(form for form, is_shared in encoded.items() if is_shared)
        percent |= dict.fromkeys(form.encode() for form in _either_case(_all_percent(secret)))
        backslash |= dict.fromkeys(form.encode() for form in _either_case(_utf16(secret)))
        if not _PLAIN.issuperset(secret):
            percent_some.append(_Escaped(list(_elements(secret, _percent))))
            backslash_some.append(_Escaped(list(_elements(secret, _backslash))))
    some = tuple(percent_some), tuple(backslash_some)
    return Forms(tuple(literal), tuple(wrapped), tuple(shared), tuple(percent), tuple(backslash), *some)


# Attempts of an agent share what its secrets may look like: it takes longer to make than to use.
_known_forms = lru_cache(maxsize=16)(_forms)


def _as_it_is(secret: str) -> Iterator[bytes]:
    yield secret.encode()
    lines = secret.splitlines()
    if len(lines) > 1:
        yield "\r\n".join(secret.split("\n")).encode()
        yield from (line.encode() for line in lines if len(line) >= LINE_LENGTH_MIN)


def _encoded(secret: bytes) -> Iterator[tuple[bytes, bool]]:
    """Hex, and those letters of base64 that it alone decides, at each of the three places it can have in a group; and
    whether the letter behind has bits of it too.
    """
    yield from ((secret.hex().encode(), False), (secret.hex().upper().encode(), False))
    for before, skipped in ((0, 0), (1, 2), (2, 3)):
        whole = b"\0" * before + secret
        decided = slice(skipped, len(whole) * 8 // 6)
        for letters in (base64.b64encode(whole)[decided], base64.urlsafe_b64encode(whole)[decided]):
            if len(letters) >= _FORM_BYTES_MIN:
                yield letters, len(whole) % 3 > 0


def _elements(secret: str, escapes: Callable[[str], Iterable[str]]) -> Iterator[tuple[bytes, ...]]:
    for plain, run in groupby(secret, _PLAIN.__contains__):
        if plain:
            yield ("".join(run).encode(),)
        else:
            yield from (tuple(form.encode() for form in dict.fromkeys(escapes(char))) for char in run)


def _percent(char: str) -> Iterator[str]:
    if char != "%":
        yield char
    if char == " ":
        yield "+"
    yield from _either_case(_all_percent(char))


def _backslash(char: str) -> Iterator[str]:
    if char != "\\":
        yield char
    if char in _SHORT_ESCAPES:
        yield _SHORT_ESCAPES[char]
    yield from _either_case(_utf16(char))


def _all_percent(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode())


def _utf16(text: str) -> str:
    """Every character as JSON can write it."""
    encoded = text.encode("utf-16-be")
    return "".join(f"\\u{encoded[at : at + 2].hex()}" for at in range(0, len(encoded), 2))


def _either_case(escape: str) -> Iterator[str]:
    yield escape
    yield escape.upper().replace("\\U", "\\u")


def _occurrences(text: bytes, form: bytes) -> Iterator[Span]:
    at = text.find(form)
    while at >= 0:
        yield at, at + len(form)
        at = text.find(form, at + len(form))


def _cut_off(text: bytes, form: bytes) -> int:
    """Where an occurrence begins that the end of the text cuts off; the length of the text when none does."""
    window = text[max(len(text) - len(form) + 1, 0) :]
    at = window.find(form[:1])
    while at >= 0 and not form.startswith(window[at:]):
        at = window.find(form[:1], at + 1)
    return len(text) - (len(window) - at if at >= 0 else 0)
