"""Views of volumes for tests: literals, and any view at all for hypothesis."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from protokube.marker import DamagedMarker, Marker
from protokube.spec import Find, FindBy, WantedVolume
from protokube.volumes.view import (
    Blank,
    CheckResult,
    Device,
    Filesystem,
    Glimpse,
    Held,
    Inside,
    Mounted,
    Publication,
    StoreAnswer,
    Unfinished,
    Unknown,
    VolumeView,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PLACE = "/mnt/master-main"
STORE = "s3://bucket/main"
DEVICE = Device(path="/dev/vdb", number=(254, 16), size_bytes=1 << 30)
OTHER_DEVICE = Device(path="/dev/vdc", number=(254, 32), size_bytes=1 << 30)
WANTED = WantedVolume(
    cluster_name="c", etcd_cluster="main", find=Find(by=FindBy.PATH, value="/dev/vdb"), member_name="main-0", allow_format=True,
    backup_store=STORE,
)  # fmt: skip
MARKER = Marker(cluster_name="c", etcd_cluster="main", member_name="main-0", volume_id="u", created_at=NOW)
FOREIGN = replace(MARKER, cluster_name="other")
EXT4 = Filesystem(kind="ext4", uuid="u")
IN_PLACE = Mounted(path=PLACE, number=DEVICE.number, filesystem="ext4")
PUBLICATION = Publication(
    cluster_name="c",
    etcd_cluster="main",
    member="main-0",
    mount_point=PLACE,
    device="/dev/vdb",
    uuid="u",
    filesystem="ext4",
    mounted_at=NOW,
)  # fmt: skip

#: A blank disk, and nothing known about it yet.
NEW = VolumeView(now=NOW, wanted=WANTED, since=NOW, devices=(DEVICE,), place=PLACE, content=Blank())
#: A volume as it is most of its life.
USED = replace(
    NEW, content=EXT4, mounts=(IN_PLACE,), inside=Inside.ETCD, marker=MARKER, grown=True, published=PUBLICATION, started=True,
    peek=Glimpse(inside=Inside.ETCD, marker=MARKER), check=CheckResult(),
)  # fmt: skip
SAID_NO = StoreAnswer(held=Held.NO, detail="", asked=NOW)


def views() -> st.SearchStrategy[VolumeView]:
    """Any view, also impossible ones: the decision must be safe even when looking went wrong."""
    markers = st.sampled_from((None, MARKER, FOREIGN, DamagedMarker(reason="garbage")))
    insides = st.sampled_from(Inside)
    finds = st.sampled_from([Find(by=by, value="/x") for by in FindBy])
    wanted = st.builds(
        WantedVolume,
        cluster_name=st.just("c"),
        etcd_cluster=st.just("main"),
        find=finds,
        member_name=st.sampled_from(("main-0", "")),
        allow_format=st.booleans(),
        backup_store=st.sampled_from((STORE, "")),
    )
    mounted = st.builds(
        Mounted,
        path=st.just(PLACE),
        number=st.sampled_from((DEVICE.number, OTHER_DEVICE.number)),
        filesystem=st.just("ext4"),
        read_only=st.booleans(),
    )
    answers = st.builds(StoreAnswer, held=st.sampled_from(Held), detail=st.just(""), asked=st.sampled_from((NOW, NOW - timedelta(hours=1))))
    contents = st.sampled_from(
        (None, Blank(), Unfinished(uuid="u"), EXT4, Filesystem(kind="vfat"), Unknown(description="a partition table"))
    )
    return st.builds(
        VolumeView,
        now=st.just(NOW),
        wanted=wanted,
        since=st.sampled_from((NOW, NOW - timedelta(hours=1))),
        trouble=st.sampled_from(("", "")),
        image_present=st.booleans(),
        devices=st.sampled_from(((), (DEVICE,), (DEVICE,), (DEVICE, OTHER_DEVICE), (replace(DEVICE, read_only=True),))),
        directories=st.sampled_from(((), (), ("/mnt/disks/a",), ("/mnt/disks/a", "/mnt/disks/b"))),
        place=st.just(PLACE),
        mounts=st.lists(mounted, max_size=2).map(tuple),
        elsewhere=st.sampled_from(((), ("/srv",))),
        content=contents,
        peek=st.one_of(st.none(), st.builds(Glimpse, inside=insides, marker=markers)),
        check=st.sampled_from((None, CheckResult(), CheckResult(complaint="exit code 4"))),
        store=st.one_of(st.none(), answers),
        permitted=st.booleans(),
        inside=insides,
        marker=markers,
        grown=st.booleans(),
        started=st.booleans(),
        published=st.sampled_from((None, PUBLICATION, replace(PUBLICATION, member="other"))),
        publication_damaged=st.booleans(),
    )
