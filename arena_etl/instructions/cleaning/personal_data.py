"""E-mail addresses, phone numbers and payment card numbers of people.

Addresses and numbers that are reserved for examples (RFC 2606, 555-01xx) belong to nobody and stay.
"""

import re

_EMAIL = re.compile(r"\b[A-Za-z0-9._%+-]+@((?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,24})\b")
_RESERVED = re.compile(r"(?:^|\.)(?:example(?:\.(?:com|net|org))?|test|invalid|localhost)$", re.IGNORECASE)
# Written as phone numbers are: a country code, or groups. A plain run of digits is a number to calculate with.
_PHONE = re.compile(r"\+\d[\d ().-]{7,18}\d|\(\d{2,5}\)[ -]?\d[\d -]{5,12}\d|\b\d{2,4}[-. ]\d{3,4}[-. ]\d{3,4}\b")
_DIGITS = re.compile(r"\d[\d ().-]{6}")
_CARD = re.compile(r"\b\d{4}([ -])\d{4}\1\d{4}\1\d{4}\b|\b3[47]\d{2}([ -])\d{6}\2\d{5}\b")


def redact(text: str, region: str) -> str:
    """The text with a placeholder for everything that is found. ``region``: of phone numbers without a country code."""
    if "@" in text:
        text = _EMAIL.sub(lambda found: found[0] if _RESERVED.search(found[1]) else "[EMAIL]", text)
    if not _DIGITS.search(text):
        return text
    text = _CARD.sub(lambda found: "[CARD]" if _luhn(found[0]) else found[0], text)
    return _PHONE.sub(lambda found: "[PHONE]" if _is_phone(found[0], region) else found[0], text)


def _is_phone(text: str, region: str) -> bool:
    import phonenumbers

    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(text, region))
    except phonenumbers.NumberParseException:
        return False


def _luhn(text: str) -> bool:
    """Whether the check digit is right (ISO/IEC 7812)."""
    digits = [int(sign) for sign in reversed(text) if sign.isdigit()]
    doubled = (2 * digit for digit in digits[1::2])
    return (sum(digits[::2]) + sum(digit - 9 if digit > 9 else digit for digit in doubled)) % 10 == 0
