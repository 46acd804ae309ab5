"""How an operator's request about one member is carried out: by the same safety rules as the leader's own changes, one at a time.

asked --rule refuses--> answered with its code
      --acts, looks again--> acts ... --it is so--> answered
"""

from __future__ import annotations

from typing import assert_never

from etcdmanager.control.member_requests import MemberRequest, MemberVerb
from etcdmanager.leader.actions import Answer, AnswerMemberRequest, MoveRaftLeader, Remark
from etcdmanager.leader.rules.maintenance_space import defragmentation
from etcdmanager.leader.rules.membership import free_peers, learners, removal
from etcdmanager.leader.rules.quarantine import is_raft_leader
from etcdmanager.leader.view import Running


def carry_out_member_request(view: Running) -> Answer:
    """Do the next step of the oldest request, or answer it; None while it waits for a learner that is on its way."""
    if not view.seen.member_requests or view.seen.members is None:
        return None
    request = view.seen.member_requests[0]
    match request.verb:
        case MemberVerb.MOVE_LEADER:
            return _move_leader(view, request)
        case MemberVerb.REMOVE:
            return _remove(view, request)
        case MemberVerb.REPLACE:
            return _replace(view, request)
        case MemberVerb.DEFRAGMENT:
            return _defragment(view, request)
        case _:
            assert_never(request.verb)


def _move_leader(view: Running, request: MemberRequest) -> Answer:
    peer = next((p for p in view.healthy if p.node.name == request.member), None)
    if peer is None:
        return AnswerMemberRequest(
            request=request, code="member-does-not-serve", text=f"{request.member} does not serve; raft's lead stays"
        )
    if is_raft_leader(peer):
        return AnswerMemberRequest(request=request, text=f"{request.member} leads raft")
    return MoveRaftLeader(peer=peer.id)


def _remove(view: Running, request: MemberRequest) -> Answer:
    members, spec = view.seen.members or (), view.seen.spec
    member = next((m for m in members if m.name == request.member), None)
    if member is None:
        return AnswerMemberRequest(request=request, text=f"{request.member} is not in etcd's list")
    if spec is None or len(members) <= spec.member_count:
        wanted = f"the spec asks for {spec.member_count}" if spec is not None else "there is no spec"
        text = f"{len(members)} members, and {wanted}: another would take its place; lower memberCount first, or use replace-member"
        return AnswerMemberRequest(request=request, code="members-as-wanted", text=text)
    return _refused_or(request, removal(view, member, why=f"{request.requested_by} asked for it"))


def _replace(view: Running, request: MemberRequest) -> Answer:
    members, spec = view.seen.members or (), view.seen.spec
    if learners(view):
        return None
    member = next((m for m in members if m.name == request.member), None)
    if member is None:
        if spec is not None and len(members) < spec.member_count:
            return None
        return AnswerMemberRequest(request=request, text=f"{request.member} is not in etcd's list, and {len(members)} others are")
    if not free_peers(view):
        text = f"no empty peer could take the place of {request.member}"
        return AnswerMemberRequest(request=request, code="no-peer-to-add", text=text)
    return _refused_or(request, removal(view, member, why=f"{request.requested_by} asked for another in its place"))


def _defragment(view: Running, request: MemberRequest) -> Answer:
    peer = next((p for p in view.healthy if p.node.name == request.member), None)
    if request.id in view.seen.upkeep.defragmented_for:
        size = peer.etcd.db_size_bytes if peer is not None and peer.etcd is not None else 0
        return AnswerMemberRequest(request=request, text=f"{request.member} is defragmented; its database file has {size >> 20} MiB")
    if peer is None:
        return AnswerMemberRequest(
            request=request, code="member-does-not-serve", text=f"{request.member} does not serve; it is not defragmented"
        )
    return defragmentation(view, (peer,), request=request.id)


def _refused_or(request: MemberRequest, answer: Answer) -> Answer:
    """Return the action, or the rule's remark as the answer to the request."""
    return AnswerMemberRequest(request=request, code=answer.code, text=answer.reason) if isinstance(answer, Remark) else answer
