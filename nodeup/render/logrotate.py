"""Write the logrotate rule for one log file of a node component."""

from __future__ import annotations


def render_logrotate_rule(path: str, *, date_format: str | None = None) -> str:
    """Return the rule for the log at `path`: daily or from 100 MB on, five generations, copied and truncated.

    copytruncate, because the writers of these logs (the go-runner in the static pods) never reopen them. `date_format` is
    needed where the distribution names rotated files by date (Flatcar's `dateext`): with the day alone, a second rotation
    on one day would find its target taken.
    """
    directives = [
        "rotate 5",
        "copytruncate",
        "missingok",
        "notifempty",
        "delaycompress",
        "maxsize 100M",
        *([f"dateformat {date_format}"] if date_format else []),
        "daily",
        "create 0644 root root",
    ]
    return f"{path}{{\n" + "".join(f"  {directive}\n" for directive in directives) + "}\n"
