"""containerd."""

from __future__ import annotations

import tomllib

import pytest

from agents.errors import SpecError
from nodeup.planners.containerd import plan_containerd
from nodeup.planners.context import Profile
from nodeup.resources.archive import ArchiveMembers
from nodeup.resources.file import File
from nodeup.resources.unit import Unit
from tests.fakes.plan_context import CONTAINERD, MEMBERS, by_id, plan_context, text_of


def _config(**containerd: object) -> dict[str, object]:
    context = plan_context(config={"containerdConfig": {"version": "2.3.4", **containerd}})
    return tomllib.loads(text_of(plan_containerd(context), "/etc/containerd/config.toml"))


def test_nothing_is_planned_where_the_image_brings_its_own_runtime() -> None:
    assert list(plan_containerd(plan_context(config={"containerdConfig": {"skipInstall": True}}))) == []


@pytest.mark.parametrize(
    ("version", "expected"), [("1.6.38", 2), ("1.7.28", 2), ("2.0.7", 3), ("2.1.0", 3), ("2.2.9", 3), ("2.3.0", 4), ("3.0.0", 4), ("", 3)]
)
def test_the_format_is_one_that_this_version_reads(version: str, expected: int) -> None:
    assert _config(version=version)["version"] == expected


def test_a_distributions_containerd_gets_the_older_format() -> None:
    context = plan_context(distribution="flatcar")
    assert tomllib.loads(text_of(plan_containerd(context), "/etc/containerd/config.toml"))["version"] == 3


def test_additions_reach_into_tables_and_may_replace_our_settings() -> None:
    config = _config(
        configAdditions={
            'plugins."io.containerd.cri.v1.runtime".containerd.default_runtime_name': "crun",
            'plugins."io.containerd.cri.v1.runtime".containerd.runtimes.crun.on': "true",
            "plugins.x.count": 1,
        }
    )
    runtime = config["plugins"]["io.containerd.cri.v1.runtime"]["containerd"]  # type: ignore[index]
    assert runtime["default_runtime_name"] == "crun"
    assert runtime["runtimes"] == {
        "crun": {"on": True},
        "runc": {"runtime_type": "io.containerd.runc.v2", "options": {"SystemdCgroup": True}},
    }
    assert config["plugins"]["x"] == {"count": 1}  # type: ignore[index]


@pytest.mark.parametrize("key", ['plugins."unclosed', "version.x", "a..b", ""])
def test_an_addition_that_leads_nowhere_is_the_operators_to_correct(key: str) -> None:
    with pytest.raises(SpecError, match="configAdditions"):
        _config(configAdditions={key: 1})


def test_an_override_is_taken_as_it_is_and_mirrors_are_then_the_operators_concern() -> None:
    context = plan_context(config={"containerdConfig": {"configOverride": "mine", "registryMirrors": {"docker.io": ["https://m"]}}})
    planned = by_id(plan_containerd(context))
    assert text_of(planned.values(), "/etc/containerd/config.toml") == "mine"
    assert not any("certs.d" in name for name in planned)


def test_mirrors_keep_their_order() -> None:
    context = plan_context(config={"containerdConfig": {"registryMirrors": {"*": ["https://b", "https://a"]}}})
    assert text_of(plan_containerd(context), "/etc/containerd/certs.d/_default/hosts.toml") == (
        '[host."https://b"]\n  capabilities = ["pull", "resolve"]\n\n[host."https://a"]\n  capabilities = ["pull", "resolve"]\n\n'
    )


def test_before_the_download_the_archives_members_are_chosen_by_pattern() -> None:
    planned = by_id(plan_containerd(plan_context()))
    assert planned["archive:/usr/bin/containerd-2.3.4-linux-amd64.tar.gz"] == ArchiveMembers(
        key="containerd-2.3.4-linux-amd64.tar.gz", url=CONTAINERD, pattern=r"^(\./)?bin/(containerd|ctr)", directory="/usr/bin"
    )


def test_known_members_are_files() -> None:
    planned = by_id(plan_containerd(plan_context(members=MEMBERS)))
    assert isinstance(planned["file:/usr/bin/containerd"], File)
    assert not any(isinstance(resource, ArchiveMembers) for resource in planned.values())


def test_a_changed_configuration_restarts_containerd() -> None:
    unit = by_id(plan_containerd(plan_context()))["unit:containerd.service"]
    assert isinstance(unit, Unit)
    assert "/etc/containerd/config.toml" in unit.restart_on


def test_a_missing_file_of_variables_stops_containerd_only_in_kops_profile() -> None:
    ours = by_id(plan_containerd(plan_context()))["unit:containerd.service"]
    theirs = by_id(plan_containerd(plan_context(profile=Profile.KOPS)))["unit:containerd.service"]
    assert isinstance(ours, Unit)
    assert isinstance(theirs, Unit)
    assert "EnvironmentFile=-/etc/environment\n" in (ours.definition or "")
    assert "EnvironmentFile=/etc/environment\n" in (theirs.definition or "")


def test_flatcars_containerd_is_restarted_as_a_unit_and_by_no_command_of_a_file() -> None:
    planned = by_id(plan_containerd(plan_context(distribution="flatcar")))
    drop_in = planned["file:/etc/systemd/system/containerd.service.d/10-kops.conf"]
    unit = planned["unit:containerd.service"]
    assert isinstance(drop_in, File)
    assert drop_in.on_change == (("systemctl", "daemon-reload"),)
    assert isinstance(unit, Unit)
    assert drop_in.path in unit.restart_on


def test_kubenet_masquerades_what_leaves_the_cluster() -> None:
    context = plan_context(config={"UsesKubenet": True})
    script = text_of(plan_containerd(context), "/opt/kops/bin/cni-iptables-setup")
    assert "rule IP-MASQ -d 100.64.0.0/10 " in script
    assert "@" not in script.replace('"$@"', "")


def test_nothing_is_masqueraded_where_every_address_is_inside() -> None:
    context = plan_context(config={"UsesKubenet": True, "Networking": {"nonMasqueradeCIDR": "::/0"}})
    assert "unit:cni-iptables-setup.service" not in by_id(plan_containerd(context))


def test_before_2_0_one_plugin_is_all_of_cri() -> None:
    mirrors = {"registryMirrors": {"docker.io": ["https://mirror.example.com"]}}
    tree = _config(version="1.7.28", sandboxImage="pause:3.10", selinuxEnabled=True, nri={"enabled": True}, **mirrors)
    plugins = tree["plugins"]
    assert isinstance(plugins, dict)
    assert set(plugins) == {"io.containerd.grpc.v1.cri", "io.containerd.nri.v1.nri"}
    cri = plugins["io.containerd.grpc.v1.cri"]
    assert (cri["sandbox_image"], cri["enable_selinux"], cri["registry"]) == (
        "pause:3.10",
        True,
        {"config_path": "/etc/containerd/certs.d"},
    )
    assert cri["containerd"]["runtimes"]["runc"] == {"runtime_type": "io.containerd.runc.v2", "options": {"SystemdCgroup": True}}


def test_kops_writes_format_3_for_containerd_1_7() -> None:
    context = plan_context(config={"containerdConfig": {"version": "1.7.28"}}, profile=Profile.KOPS, members=MEMBERS)
    assert tomllib.loads(text_of(plan_containerd(context), "/etc/containerd/config.toml"))["version"] == 3


def test_time_outs_of_nri_are_written_as_go_writes_durations() -> None:
    plugins = _config(nri={"pluginRequestTimeout": "90s", "pluginRegistrationTimeout": "5s"})["plugins"]
    assert isinstance(plugins, dict)
    wanted = {"disable": False, "plugin_request_timeout": "1m30s", "plugin_registration_timeout": "5s"}
    assert plugins["io.containerd.nri.v1.nri"] == wanted
    assert "io.containerd.nri.v1.nri" not in str(_config(nri={"enabled": False, "pluginRequestTimeout": "5s"}))
