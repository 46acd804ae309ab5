"""kubectl and a kubeconfig for administrators on nodes with an API server."""

from __future__ import annotations

from collections.abc import Iterator

from nodeup.facts import Account
from nodeup.planners.certificates import config_of, kubeconfig
from nodeup.planners.context import PlanContext
from nodeup.resources.file import Directory, File
from nodeup.resources.kinds import AnyResource
from nodeup.spec.boot import CloudProvider

#: With which users one logs in, by the beginning of the distribution's name. Source: kops util/pkg/distributions.
_LOGIN_USERS = (
    ("al2", ("ec2-user",)),
    ("alma", ("almalinux", "ec2-user")),
    ("debian", ("admin", "root")),
    ("ubuntu", ("ubuntu", "root")),
    ("flatcar", ("core",)),
    ("centos", ("centos",)),
    ("rhel", ("ec2-user",)),
    ("rocky", ("rocky",)),
)


def plan_kubectl(context: PlanContext) -> Iterator[AnyResource]:
    """Plan kubectl where an API server runs."""
    if not context.has_api_server:
        return
    yield File(path=f"{context.tools_directory}/kubectl", content=context.catalog.need("kubectl"), mode=0o755)
    made, resources = kubeconfig(context, "kubecfg", common_name="kubecfg", organization=("system:masters",))
    yield from resources
    yield File(path="/var/lib/kubectl/kubeconfig", content=config_of(made), mode=0o400)
    account = _login_account(context)
    if account is not None and account.home:
        home = account.home.rstrip("/")
        yield Directory(path=f"{home}/.kube/", mode=0o700, owner=account.name, group=account.group)
        yield File(path=f"{home}/.kube/config", content=config_of(made), mode=0o400, owner=account.name, group=account.group)


def _login_account(context: PlanContext) -> Account | None:
    """Return the first account that exists of those with which one logs in to this distribution."""
    if context.cloud is CloudProvider.AZURE:
        names: tuple[str, ...] = (context.spec.config.text("AzureAdminUser"),)
    else:
        names = next((users for prefix, users in _LOGIN_USERS if context.facts.distribution.id.startswith(prefix)), ())
    by_name = {account.name: account for account in context.facts.accounts}
    return next((by_name[name] for name in names if name in by_name), None)
