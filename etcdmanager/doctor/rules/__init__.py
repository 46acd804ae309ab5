"""All rules of the doctor, causes before symptoms: of two findings of one severity the earlier rule's comes first.

docs/etcd-manager.md lists them; a test compares. Ids are never used again for another rule.
"""

from __future__ import annotations

from agents.diagnosis import Rule
from etcdmanager.doctor.rules import cluster, node, store
from etcdmanager.doctor.view import DoctorView

RULES: tuple[Rule[DoctorView], ...] = (
    Rule(id="EM001", title="etcd's volume is not ready on this node", check=node.volume),
    Rule(id="EM002", title="the data's file system is read-only", check=node.read_only),
    Rule(id="EM003", title="the data's file system has little room", check=node.full),
    Rule(id="EM004", title="the data's file system has few inodes", check=node.out_of_inodes),
    Rule(id="EM005", title="etcd's data is open to other users", check=node.permissions),
    Rule(id="EM006", title="the member's state file is damaged", check=node.state),
    Rule(id="EM010", title="the backup store cannot be read", check=store.unreachable),
    Rule(id="EM011", title="a permission in the backup store is missing", check=store.forbidden),
    Rule(id="EM012", title="a clock differs from the store's", check=store.clock),
    Rule(id="EM013", title="nothing keeps this machine's clock", check=node.unsynchronized),
    Rule(id="EM021", title="control files are missing while the cluster lives", check=store.missing_files),
    Rule(id="EM022", title="the cluster's spec cannot be read", check=store.damaged_spec),
    Rule(id="EM023", title="a restore stands in the queue for more than ten minutes", check=store.old_command),
    Rule(id="EM024", title="a request is not answered for more than ten minutes", check=store.unanswered),
    Rule(id="EM025", title="an object of the control store cannot be read", check=store.unreadable_objects),
    Rule(id="EM026", title="an operator paused the leader", check=store.paused),
    Rule(id="EM030", title="two clusters may share the store", check=store.two_leaders),
    Rule(id="EM031", title="no manager leads", check=store.nobody_leads),
    Rule(id="EM032", title="the leader tells nothing", check=store.silent_leader),
    Rule(id="EM033", title="the leadership changes often", check=store.restless),
    Rule(id="EM034", title="a machine runs what is not this cluster's", check=cluster.strangers),
    Rule(id="EM040", title="no quorum", check=cluster.no_quorum),
    Rule(id="EM041", title="a member does not serve, or its manager does not answer", check=cluster.members_away),
    Rule(id="EM042", title="clients are kept out without a restore", check=cluster.quarantined),
    Rule(id="EM043", title="etcd raises an alarm", check=cluster.alarms),
    Rule(id="EM044", title="members hold different keys", check=cluster.keys_differ),
    Rule(id="EM045", title="a database is above 80 % of its quota", check=cluster.quota),
    Rule(id="EM046", title="versions differ, or the wanted one is missing", check=cluster.versions),
    Rule(id="EM047", title="fewer voters than wanted", check=cluster.too_few),
    Rule(id="EM048", title="an even number of voters", check=cluster.even_voters),
    Rule(id="EM049", title="a member is far behind", check=cluster.behind),
    Rule(id="EM050", title="no young verified backup", check=store.backups),
    Rule(id="EM051", title="changes are not collected", check=cluster.deltas),
    Rule(id="EM052", title="no backup was restored as an exercise lately, or that failed", check=store.drill),
    Rule(id="EM060", title="a certificate cannot be read", check=node.damaged_certificates),
    Rule(id="EM061", title="a certificate expired, or is not valid yet", check=node.expired),
    Rule(id="EM062", title="a certificate ends soon", check=node.expiring),
    Rule(id="EM063", title="a certificate does not hold a name that it needs", check=node.wrong_names),
    Rule(id="EM064", title="a certificate is of another CA, or its key another's", check=node.wrong_issuer),
    Rule(id="EM070", title="the wanted etcd is not installed here", check=node.no_etcd),
    Rule(id="EM071", title="the manager's service does not run, or is restarted often", check=node.service),
    Rule(id="EM072", title="this node's manager is stuck or cannot go on, or its etcd ends by itself", check=node.stuck),
    Rule(id="EM074", title="/etc/hosts has a member's name wrongly, or not at all", check=node.stale_hosts),
    Rule(id="EM073", title="etcd's disk is slow", check=node.slow_disk),
)
