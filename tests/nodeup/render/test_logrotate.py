"""Rules of logrotate."""

from __future__ import annotations

from nodeup.render.logrotate import render_logrotate_rule


def test_a_rule_names_the_log_and_how_it_is_rotated() -> None:
    assert render_logrotate_rule("/var/log/etcd.log") == (
        "/var/log/etcd.log{\n  rotate 5\n  copytruncate\n  missingok\n  notifempty\n  delaycompress\n  maxsize 100M\n"
        "  daily\n  create 0644 root root\n}\n"
    )


def test_a_distribution_may_need_its_own_suffix_of_rotated_files() -> None:
    assert "  maxsize 100M\n  dateformat -%Y%m%d-%s\n  daily\n" in render_logrotate_rule("/x", date_format="-%Y%m%d-%s")
