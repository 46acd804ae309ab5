"""What comes next for a volume: the drawing and the table, cases with names, and what is never chosen."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given

from protokube.marker import DamagedMarker, Marker
from protokube.spec import Find, FindBy
from protokube.volumes import phase
from protokube.volumes.phase import (
    ANYWHERE,
    TABLE,
    AskStore,
    Attach,
    Check,
    Format,
    Grow,
    Mark,
    Mount,
    Peek,
    Phase,
    Publish,
    Refuse,
    Rest,
    Start,
    Step,
    Unpublish,
    Wait,
    actual_place,
    next_step,
    phase_of,
    publication,
)
from protokube.volumes.view import (
    Blank,
    CheckResult,
    Filesystem,
    Glimpse,
    Held,
    Inside,
    Mounted,
    StoreAnswer,
    Unfinished,
    Unknown,
    VolumeView,
)
from tests.protokube.volumes.views import (
    DEVICE,
    EXT4,
    FOREIGN,
    IN_PLACE,
    MARKER,
    NEW,
    NOW,
    OTHER_DEVICE,
    PLACE,
    PUBLICATION,
    SAID_NO,
    USED,
    WANTED,
    views,
)

UNMOUNTED = replace(USED, mounts=(), inside=Inside.ABSENT, marker=None, published=None, peek=None, check=None, grown=False)
JUST_MOUNTED = replace(USED, published=None, grown=False)
SAID_YES = replace(SAID_NO, held=Held.YES, detail="a backup")
EARLIER = NOW - timedelta(minutes=1)


def test_the_drawing_says_what_the_table_says() -> None:
    rows = re.findall(
        r"^    (wanted|attached|located|checked|mounted|published|anywhere)((?: +[A-Z]\w+)*)$", phase.__doc__ or "", re.MULTILINE
    )
    drawn = {name: tuple(steps.split()) for name, steps in rows}
    assert drawn.pop("anywhere") == tuple(kind.__name__ for kind in ANYWHERE)
    assert drawn == {one.value: tuple(kind.__name__ for kind in kinds) for one, kinds in TABLE.items()}
    assert list(drawn) == [one.value for one in Phase]


@given(views())
def test_every_view_has_a_step_and_it_is_one_of_its_phase(view: VolumeView) -> None:
    assert isinstance(next_step(view), TABLE[phase_of(view)] + ANYWHERE)


@given(views())
def test_only_what_is_provably_blank_is_ever_formatted(view: VolumeView) -> None:
    step = next_step(view)
    if isinstance(step, Format):
        assert view.devices == (step.device,)
        assert isinstance(view.content, Blank | Unfinished)
        assert view.wanted.allow_format
        assert not step.device.read_only
        assert not view.mounts
        assert not view.elsewhere


@given(views())
def test_a_blank_volume_is_never_formatted_against_the_word_of_the_backup_store(view: VolumeView) -> None:
    if isinstance(next_step(view), Format) and isinstance(view.content, Blank) and view.wanted.backup_store and not view.permitted:
        assert view.store is not None
        assert view.store.held is Held.NO
        assert view.now - view.store.asked <= phase.STORE_ANSWER_LIFETIME


@given(views())
def test_what_belongs_to_someone_else_is_never_checked_mounted_or_published(view: VolumeView) -> None:
    step = next_step(view)
    if isinstance(step, Check | Mount):
        assert view.peek is not None
        assert view.peek.marker in {None, MARKER}
        assert view.peek.inside is not Inside.OTHER or view.peek.marker == MARKER
    if isinstance(step, Publish | Grow):
        assert view.marker == MARKER


@given(views())
def test_a_marker_is_never_overwritten(view: VolumeView) -> None:
    if isinstance(next_step(view), Mark):
        assert view.marker is None
        assert view.is_in_place


@given(views())
def test_nothing_is_mounted_over_files_or_twice(view: VolumeView) -> None:
    if isinstance(next_step(view), Mount):
        assert view.inside in {Inside.ABSENT, Inside.EMPTY, Inside.UNREADABLE}
        assert not view.mounts
        assert not view.elsewhere


@given(views())
def test_all_is_well_only_when_exactly_the_truth_is_published(view: VolumeView) -> None:
    if isinstance(next_step(view), Rest):
        wanted = publication(view)
        assert wanted is not None
        assert view.published is not None
        assert view.published.says_the_same_as(wanted)


@given(views())
def test_every_wait_ends_and_every_refusal_says_what_to_do(view: VolumeView) -> None:
    match next_step(view):
        case Wait(until=until, hint=hint, reason=reason):
            assert timedelta() < until - view.since <= timedelta(minutes=5)
            assert hint
            assert reason
        case Refuse(hint=hint, reason=reason, code=code):
            assert all((hint, reason, code))
        case _:
            pass


def _after(view: VolumeView, step: Step) -> VolumeView:  # noqa: C901, PLR0911 (one case for each step)
    """Return the view after a step did what it should."""
    match step:
        case Attach():
            return replace(view, devices=(DEVICE,), content=Blank())
        case AskStore():
            return replace(view, store=SAID_NO)
        case Format():
            return replace(view, content=EXT4, peek=None, check=None, grown=False)
        case Peek():
            return replace(view, peek=Glimpse(inside=Inside.EMPTY))
        case Check():
            return replace(view, check=CheckResult())
        case Mount():
            return replace(view, mounts=(IN_PLACE,), inside=Inside.EMPTY, marker=None)
        case Grow():
            return replace(view, grown=True)
        case Mark(member_name=name, volume_id=volume):
            return replace(view, marker=replace(MARKER, member_name=name, volume_id=volume))
        case Publish(publication=published):
            return replace(view, published=replace(published, mounted_at=NOW), publication_damaged=False)
        case Start():
            return replace(view, started=True)
        case Unpublish():
            return replace(view, published=None, publication_damaged=False, started=False)
        case _:
            return view


@given(views())
def test_steps_that_work_lead_to_an_end(view: VolumeView) -> None:
    for _ in range(15):
        step = next_step(view)
        if isinstance(step, Wait | Refuse | Rest):
            return
        view = _after(view, step)
    raise AssertionError(f"it goes on for ever: {step}")


def test_a_new_disk_takes_this_way() -> None:
    view, taken = NEW, []
    while not isinstance(step := next_step(view), Rest):
        taken.append(type(step))
        view = _after(view, step)
    assert taken == [AskStore, Format, Peek, Check, Mount, Mark, Grow, Publish, Start]


STEPS: dict[str, tuple[VolumeView, type[Step]]] = {
    "a known volume is looked into": (UNMOUNTED, Peek),
    "and checked": (replace(UNMOUNTED, peek=USED.peek), Check),
    "and mounted": (replace(UNMOUNTED, peek=USED.peek, check=CheckResult()), Mount),
    "and grown": (JUST_MOUNTED, Grow),
    "and published": (replace(JUST_MOUNTED, grown=True), Publish),
    "and its manager started, for a former life may have been killed before that": (replace(USED, started=False), Start),
    "a mount that vanished is taken back": (replace(USED, mounts=(), inside=Inside.EMPTY, marker=None), Unpublish),
    "another device in its place is taken back": (replace(USED, devices=(OTHER_DEVICE,)), Unpublish),
    "one that the kernel made read-only is taken back": (replace(USED, mounts=(replace(IN_PLACE, read_only=True),)), Unpublish),
    "a device that is hidden for a moment is not": (replace(USED, devices=()), Wait),
    "what another member was told is corrected": (replace(USED, published=replace(PUBLICATION, member="x")), Publish),
    "the store is asked again when its answer is old": (replace(NEW, store=replace(SAID_NO, asked=EARLIER)), AskStore),
    "a store that does not answer is waited for": (replace(NEW, store=StoreAnswer(held=Held.UNKNOWN, detail="503", asked=NOW)), Wait),
    "a permitted volume is formatted": (replace(NEW, store=SAID_YES, permitted=True), Format),
    "an unfinished format is done again": (replace(NEW, content=Unfinished(uuid="u"), store=SAID_YES), Format),
    "an unreadable file system is repaired before its marker is read": (replace(UNMOUNTED, peek=Glimpse(inside=Inside.UNREADABLE)), Check),
}


@pytest.mark.parametrize("name", STEPS)
def test_next(name: str) -> None:
    view, expected = STEPS[name]
    assert type(next_step(view)) is expected


REFUSALS: dict[str, tuple[VolumeView, str]] = {
    "a partition table": (replace(NEW, content=Unknown(description="it has a partition table (gpt)")), "not-blank"),
    "another file system": (replace(NEW, content=Filesystem(kind="vfat")), "not-blank"),
    "no permission in the configuration": (replace(NEW, wanted=replace(WANTED, allow_format=False)), "format-not-allowed"),
    "nobody says which member": (replace(NEW, wanted=replace(WANTED, member_name="")), "no-member-name"),
    "a cluster that had data": (replace(NEW, store=SAID_YES), "S1-cluster-had-data"),
    "another volume": (replace(UNMOUNTED, peek=Glimpse(inside=Inside.ETCD, marker=FOREIGN)), "foreign-volume"),
    "a damaged marker": (replace(UNMOUNTED, peek=Glimpse(inside=Inside.ETCD, marker=DamagedMarker(reason="x"))), "foreign-volume"),
    "files of someone else": (replace(UNMOUNTED, peek=Glimpse(inside=Inside.OTHER)), "foreign-content"),
    "what fsck cannot repair": (replace(UNMOUNTED, peek=USED.peek, check=CheckResult(complaint="exit code 4")), "damaged-filesystem"),
    "two devices": (replace(NEW, devices=(DEVICE, OTHER_DEVICE)), "ambiguous-volume"),
    "mounted elsewhere": (replace(UNMOUNTED, elsewhere=("/srv",)), "mounted-elsewhere"),
    "another mount in its place": (replace(UNMOUNTED, mounts=(replace(IN_PLACE, number=(1, 2)),)), "place-taken"),
    "two mounts in its place": (replace(USED, mounts=(IN_PLACE, IN_PLACE), published=None), "place-taken"),
    "files in its place": (replace(UNMOUNTED, inside=Inside.ETCD), "place-not-empty"),
    "a read-only device": (replace(NEW, devices=(replace(DEVICE, read_only=True),)), "read-only-device"),
    "a volume of the cloud": (replace(NEW, wanted=replace(WANTED, find=Find(by=FindBy.CLOUD, value="aws"))), "cloud-volumes-not-built"),
    "no device": (replace(NEW, trouble="/dev is a directory"), "not-a-device"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refused(name: str) -> None:
    view, code = REFUSALS[name]
    step = next_step(view)
    assert isinstance(step, Refuse)
    assert step.code == code


def test_the_marker_names_the_member_where_the_configuration_does_not() -> None:
    wanted = replace(WANTED, member_name="")
    found = publication(replace(USED, wanted=wanted, marker=replace(MARKER, member_name="main-7")))
    assert found is not None
    assert found.member == "main-7"


def test_a_directory_is_published_without_a_device() -> None:
    wanted = replace(WANTED, find=Find(by=FindBy.DIRECTORY, value="/mnt/disks/a"))
    view = replace(
        NEW, wanted=wanted, devices=(), directories=("/mnt/disks/a",), place="/mnt/disks/a/mnt", inside=Inside.EMPTY, content=None
    )
    assert isinstance(next_step(view), Mark)
    step = next_step(replace(view, marker=MARKER))
    assert isinstance(step, Publish)
    assert (step.publication.mount_point, step.publication.device) == ("/mnt/disks/a/mnt", "")


def test_a_missing_image_is_waited_for_and_then_attached() -> None:
    wanted = replace(WANTED, find=Find(by=FindBy.IMAGE, value="/var/lib/a.img"))
    missing = replace(NEW, wanted=wanted, devices=(), content=None, image_present=False)
    assert isinstance(next_step(missing), Wait)
    assert next_step(replace(missing, image_present=True)) == Attach(image="/var/lib/a.img")


def test_a_mounted_volume_without_a_marker_gets_the_configured_name() -> None:
    assert next_step(replace(JUST_MOUNTED, marker=None)) == Mark(member_name="main-0", volume_id="u", place=PLACE)


def test_the_marker_is_compared_in_each_of_its_names() -> None:
    for changed in ({"cluster_name": "x"}, {"etcd_cluster": "x"}, {"member_name": "x"}):
        marker = Marker(**{"cluster_name": "c", "etcd_cluster": "main", "member_name": "main-0", **changed}, volume_id="u", created_at=NOW)
        assert isinstance(next_step(replace(USED, marker=marker, published=None)), Refuse)


FORMER = replace(IN_PLACE, path="/mnt/master-vol-0123")
PLACES: dict[str, tuple[tuple[Mounted, ...], str, str]] = {
    "where we choose, while it is mounted nowhere": ((), "", PLACE),
    "where kops' etcd-manager mounted it": ((FORMER,), "", FORMER.path),
    "also on an operating system with /mnt/disks": ((replace(FORMER, path="/mnt/disks/master-vol-0"),), "", "/mnt/disks/master-vol-0"),
    "where we choose, if it is mounted there too": ((FORMER, IN_PLACE), "", PLACE),
    "never elsewhere than configured": ((FORMER,), PLACE, PLACE),
    "not where anybody else mounted it": ((replace(FORMER, path="/srv"),), "", PLACE),
    "not below such a place": ((replace(FORMER, path="/mnt/master-vol/x"),), "", PLACE),
    "not where it is read-only": ((replace(FORMER, read_only=True),), "", PLACE),
    "not where only a part of it is mounted": ((replace(FORMER, root="/data"),), "", PLACE),
    "not where two places are as good": ((FORMER, replace(FORMER, path="/mnt/master-vol-1")), "", PLACE),
}


@pytest.mark.parametrize("name", PLACES)
def test_its_place_is(name: str) -> None:
    mounts, configured, expected = PLACES[name]
    assert actual_place(replace(WANTED, mount_point=configured), PLACE, mounts) == expected
