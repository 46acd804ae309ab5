"""Figures as people read them in tables; pure."""

from __future__ import annotations

_UNITS = ("", "K", "M", "G", "T", "P")


def size_text(size_bytes: int) -> str:
    """Return a size with two or three digits and a binary unit, as `ls -h` does: 0, 873, 4.2K, 14M, 1.1G."""
    value, unit = float(size_bytes), 0
    while value >= 1000 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    digits = f"{value:.1f}" if unit and value < 9.95 else f"{value:.0f}"
    return f"{digits}{_UNITS[unit]}"


def count_text(count: int) -> str:
    """Return a whole number in groups of three, with thin gaps that copy as plain spaces: 18 202 994."""
    return f"{count:,}".replace(",", " ")


def bar(fraction: float, *, width: int) -> str:
    """Return a progress bar of `width` cells between brackets."""
    filled = round(max(0.0, min(1.0, fraction)) * width)
    return f"[{'█' * filled}{'░' * (width - filled)}]"
