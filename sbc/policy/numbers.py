"""Telephone numbers: what was dialled, its E.164 form by a country's plan, and the form that a peer wants to see.

E.164 with a leading plus is the form inside. Numbers without one (extensions, names) pass as they were dialled.
The plans are libphonenumber's. Looking a number up costs some 30 µs, so what was read is remembered, in bounds.
"""

import re
import unicodedata
from typing import TYPE_CHECKING, Final

import phonenumbers
from msgspec import Struct
from phonenumbers import shortnumberinfo

from sbc.core.errors import OperatorError
from sbc.core.limits import REMEMBERED_NUMBER_CHARACTERS, REMEMBERED_NUMBERS
from sbc.policy.model import NumberForm

if TYPE_CHECKING:
    from collections.abc import Callable

WORDS: Final = ("dids", "emergency", "national", "international", "premium")

_LONGEST: Final = 32  # digits; E.164 ends at 15, the rest is room for dialled prefixes
_SEPARATORS: Final = str.maketrans("", "", "-.() ")  # RFC 3966 §5.1.1 visual separators
_NANP: Final = "1"
_COMPLETE: Final = 16  # a plus or a prefix, and 15 digits: exchanges have heard enough, and the library reads no more
_ABROAD: Final = re.compile("00")  # also where the plan has another prefix: many carriers take it anywhere
_SERVICE_CODE: Final = re.compile(r"[*#][0-9]{2,3}[*#]?")  # of a feature, such as *67, which may stand before a number
_KEYPAD: Final = str.maketrans("abcdefghijklmnopqrstuvwxyz", "22233344455566677778889999")
_SHORTEST_BARE_NATIONAL: Final = 7  # digits; shorter ones without a trunk prefix are extensions
_SHORTEST_ABROAD: Final = 6  # digits behind the prefix for calls abroad; with fewer, nobody abroad is reached


class Number(Struct, frozen=True):
    """A number as dialled (visual separators removed) and in E.164; `e164` is empty where it has no such form."""

    dialled: str
    e164: str = ""
    is_numeric: bool = False

    @property
    def best(self) -> str:
        return self.e164 or self.dialled


class NumberPlan:
    """One country's way to read and write numbers."""

    def __init__(self, country: str) -> None:
        self.country = country
        self.calling_code = str(phonenumbers.country_code_for_region(country))
        metadata = phonenumbers.PhoneMetadata.metadata_for_region(country)
        if metadata is None:
            raise OperatorError(f"`{country}` is no country with a numbering plan")
        self._trunk_prefix = metadata.national_prefix or ""
        self._abroad_prefix = _abroad_prefix(metadata)
        self._any_abroad_prefix = re.compile(metadata.international_prefix or "00")
        self._own = "+" + self.calling_code
        self._writers: dict[NumberForm, Callable[[Number], str]] = {
            "e164": _write_e164,
            "e164-bare": _write_bare,
            "national": self._write_national,
            "national-1": self._write_national_1,
            "last-4": _write_last_4,
        }
        self._read: dict[tuple[str, bool], Number] = {}
        self._words: dict[Number, frozenset[str]] = {}

    def read(self, user: str, *, bare: bool = False) -> Number:
        """`bare`: the peer writes E.164 without its plus, so digits are tried as that first."""
        key = (user, bare)
        number = self._read.get(key)
        if number is None:
            number = self._parse(user, bare=bare)
            if len(user) > REMEMBERED_NUMBER_CHARACTERS:
                return number
            if len(self._read) >= REMEMBERED_NUMBERS:
                self._read.clear()
            self._read[key] = number
        return number

    def words(self, number: Number) -> frozenset[str]:
        """Which of the words emergency, national, international and premium apply."""
        words = self._words.get(number)
        if words is None:
            words = self._classify(number)
            if len(self._words) >= REMEMBERED_NUMBERS:
                self._words.clear()
            self._words[number] = words
        return words

    def disguised(self, number: Number) -> tuple[Number, ...]:
        """The numbers that an exchange may see in what is none, for bars: digits of all scripts, with whatever stands
        between and behind them left out, letters left out or read as keys, feature codes left out. None in a name.
        """
        text = number.dialled.translate(_SEPARATORS)
        if number.is_numeric:
            return ()
        found: dict[str, None] = {}
        for dialled in dict.fromkeys((text, _SERVICE_CODE.sub("", text, count=1))):
            digits = "".join([_digit(char) for char in dialled])
            keys = "".join([_digit(char) for char in dialled.lower().translate(_KEYPAD)])
            first = next((char for char in dialled if char == "+" or char.isalnum()), "")
            plus = "+" if first == "+" else ""
            if plus or _digit(first):
                found |= dict.fromkeys((plus + digits[:_LONGEST], plus + keys[:_LONGEST]))
        return tuple([self._parse(one, bare=False) for one in found if _is_numeric(one)])

    def write(self, number: Number, form: NumberForm) -> str:
        """The number in a peer's form; what has no E.164 form goes as dialled."""
        return self._writers[form](number)

    def _parse(self, user: str, *, bare: bool) -> Number:
        # A telephone-subscriber may carry parameters, such as ;npdi;rn=+12125550100 (RFC 3261 §19.1.6, RFC 4694).
        dialled = _without_separators(user.partition(";")[0])
        if not _is_numeric(dialled):
            return Number(user)
        return Number(dialled, self._e164(dialled, bare=bare), is_numeric=True)

    def _e164(self, dialled: str, *, bare: bool) -> str:
        if dialled[0] == "+":
            return dialled if _is_e164(dialled) else ""
        if bare and _is_e164("+" + dialled) and _is_possible("+" + dialled):
            return "+" + dialled
        if self.calling_code == _NANP and dialled[0] != "0":
            return _nanp_e164(dialled)
        return self._e164_by_plan(dialled)

    def _e164_by_plan(self, dialled: str) -> str:
        try:
            parsed = phonenumbers.parse(dialled, self.country, keep_raw_input=True)
        except phonenumbers.NumberParseException:
            return ""
        if phonenumbers.is_possible_number_with_reason(parsed) != phonenumbers.ValidationResult.IS_POSSIBLE:
            return ""
        from_abroad = parsed.country_code_source == phonenumbers.CountryCodeSource.FROM_NUMBER_WITH_IDD
        with_trunk_prefix = self._trunk_prefix and dialled.startswith(self._trunk_prefix)
        # "1000" is a possible German number, but nobody who dials it means Germany's +49 1000.
        looks_national = len(dialled) >= _SHORTEST_BARE_NATIONAL and phonenumbers.is_valid_number(parsed)
        if not (from_abroad or with_trunk_prefix or looks_national):
            return ""
        e164: str = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
        return e164 if _is_e164(e164) else ""

    def _classify(self, number: Number) -> frozenset[str]:
        if not number.is_numeric:
            return frozenset()
        words = set()
        if shortnumberinfo.is_emergency_number(number.dialled, self.country):
            words.add("emergency")
        words |= self._classify_e164(number.e164) if number.e164 else self._classify_odd(number.dialled)
        return frozenset(words)

    def _classify_e164(self, e164: str) -> set[str]:
        try:
            parsed = phonenumbers.parse(e164)
        except phonenumbers.NumberParseException:
            return {"international"}
        words = {"national" if self._is_national(e164, parsed) else "international"}
        return words | _premium(parsed)

    def _classify_odd(self, dialled: str) -> set[str]:
        """Without an E.164 form it is no number at home, but an exchange may still ring somebody: bars must see it."""
        prefix = self._any_abroad_prefix.match(dialled) or _ABROAD.match(dialled)
        is_abroad = prefix is not None and len(dialled) - prefix.end() >= _SHORTEST_ABROAD
        if prefix is not None and is_abroad:
            dialled = "+" + dialled[prefix.end() :]
        try:
            parsed = phonenumbers.parse(dialled[:_COMPLETE], self.country)
        except phonenumbers.NumberParseException:
            return {"international"} if is_abroad else set()
        is_own = str(parsed.country_code) == self.calling_code
        words = {"international"} if not is_own and (is_abroad or dialled[0] == "+") else set()
        return words | _premium(parsed)

    def _is_national(self, e164: str, parsed: phonenumbers.PhoneNumber) -> bool:
        """The country's calling code, and not in a country that shares it: +1 876 is no national call in the US."""
        if not e164.startswith(self._own):
            return False
        region = phonenumbers.region_code_for_number(parsed)
        return region in (None, self.country) or phonenumbers.is_valid_number_for_region(parsed, self.country)

    def _write_national(self, number: Number) -> str:
        return self._write_by_plan(number, "")

    def _write_national_1(self, number: Number) -> str:
        return self._write_by_plan(number, self._trunk_prefix)

    def _write_by_plan(self, number: Number, trunk_prefix: str) -> str:
        e164 = number.e164
        if not e164:
            return number.dialled
        if e164.startswith(self._own):
            return trunk_prefix + e164[len(self._own) :]
        return self._abroad_prefix + e164[1:]


def is_country(code: str) -> bool:
    return code in phonenumbers.SUPPORTED_REGIONS


def _premium(parsed: phonenumbers.PhoneNumber) -> set[str]:
    """Exchanges ignore digits behind a complete number, so +1 900 555 0100 99 is a premium number, too."""
    complete = phonenumbers.PhoneNumber()
    complete.merge_from(parsed)
    phonenumbers.truncate_too_long_number(complete)
    is_premium = phonenumbers.number_type(complete) == phonenumbers.PhoneNumberType.PREMIUM_RATE
    return {"premium"} if is_premium else set()


def _write_e164(number: Number) -> str:
    return number.e164 or number.dialled


def _write_bare(number: Number) -> str:
    return number.e164[1:] or number.dialled


def _write_last_4(number: Number) -> str:
    return (number.e164 or number.dialled)[-4:] if number.is_numeric else number.dialled


def _digit(char: str) -> str:
    """As ASCII; "" for what is no digit in any script."""
    value = unicodedata.digit(char, None) if char else None
    return "" if value is None else str(value)


def _without_separators(user: str) -> str:
    return user if user.isalnum() else user.translate(_SEPARATORS)


def _is_numeric(dialled: str) -> bool:
    digits = dialled[1:] if dialled[:1] == "+" else dialled
    return digits.isdecimal() and digits.isascii() and len(digits) <= _LONGEST


def _is_e164(number: str) -> bool:
    """ITU-T E.164: a country code, which never begins with 0, and at most 15 digits in all."""
    return number[1] != "0" and 3 <= len(number) - 1 <= 15


def _is_possible(number: str) -> bool:
    try:
        parsed = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return False
    return phonenumbers.is_possible_number_with_reason(parsed) == phonenumbers.ValidationResult.IS_POSSIBLE


def _nanp_e164(dialled: str) -> str:
    """An area code begins with 2-9; seven digits follow, and a 1 may stand before. The rest are extensions or codes."""
    ten = dialled[1:] if dialled[0] == "1" else dialled
    return "+1" + ten if len(ten) == 10 and ten[0] in "23456789" else ""


def _abroad_prefix(metadata: phonenumbers.PhoneMetadata) -> str:
    """What is dialled before a country code. Where it is a choice of carriers, libphonenumber may prefer one."""
    preferred: str = metadata.preferred_international_prefix or metadata.international_prefix or "00"
    return preferred.replace("~", "") if preferred.replace("~", "").isdecimal() else "00"
