"""All rules of the doctor, causes before symptoms: of two findings of one severity the earlier rule's comes first.

docs/nodeup.md lists them; a test compares. Ids are never used again for another rule.
"""

from __future__ import annotations

from agents.diagnosis import Rule
from nodeup.doctor.rules import certificates, configuration, disk, machine, network, services, time
from nodeup.doctor.rules.logs import KNOWN_LINES, check_of
from nodeup.doctor.view import Area, NodeView

RULES: tuple[Rule[NodeView], ...] = (
    Rule(id="ND001", area=Area.DISK, title="a file system is mounted read-only", check=disk.read_only),
    Rule(id="ND002", area=Area.DISK, title="a file system is full", check=disk.full),
    Rule(id="ND003", area=Area.DISK, title="a file system has no inodes left", check=disk.out_of_inodes),
    Rule(id="ND010", area=Area.TIME, title="the clock is wrong", check=time.offset),
    Rule(id="ND011", area=Area.TIME, title="nothing keeps the clock", check=time.unsynchronized),
    Rule(id="ND020", area=Area.CONFIGURATION, title="the boot configuration cannot be used", check=configuration.no_boot_configuration),
    Rule(id="ND030", area=Area.NETWORK, title="there is no default route", check=network.no_default_route),
    Rule(id="ND031", area=Area.NETWORK, title="a name has only kops' placeholder 203.0.113.123", check=network.placeholder),
    Rule(id="ND032", area=Area.NETWORK, title="a name that the node needs does not resolve", check=network.unresolved),
    Rule(id="ND033", area=Area.NETWORK, title="kops-controller or the API server cannot be reached", check=network.unreachable),
    Rule(id="ND021", area=Area.CONFIGURATION, title="the state store cannot be read", check=configuration.no_store),
    Rule(id="ND022", area=Area.CONFIGURATION, title="the store has another configuration", check=configuration.another_hash),
    Rule(id="ND023", area=Area.CONFIGURATION, title="nodeup is held back", check=configuration.held),
    Rule(id="ND024", area=Area.CONFIGURATION, title="actions of nodeup were interrupted", check=configuration.interrupted),
    Rule(id="ND040", area=Area.CLOUD, title="the metadata service does not answer", check=network.no_metadata),
    Rule(id="ND041", area=Area.CLOUD, title="the disk is a copy of another node's", check=network.another_machine),
    Rule(id="ND045", area=Area.REGISTRY, title="the sandbox image's registry cannot be reached", check=network.no_registry),
    Rule(id="ND050", area=Area.MACHINE, title="a program is of another architecture", check=machine.wrong_architecture),
    Rule(id="ND051", area=Area.MACHINE, title="packages are half installed", check=machine.broken_packages),
    Rule(id="ND052", area=Area.MACHINE, title="kubelet and containerd keep cgroups differently", check=machine.cgroup_drivers_differ),
    Rule(id="ND053", area=Area.MACHINE, title="the machine has cgroup v1", check=machine.cgroups_of_old),
    Rule(id="ND054", area=Area.MACHINE, title="swap is on", check=machine.swap),
    Rule(id="ND055", area=Area.MACHINE, title="a kernel module is not loaded", check=machine.modules),
    Rule(id="ND056", area=Area.MACHINE, title="kernel parameters are not as our file says", check=machine.settings),
    Rule(id="ND060", area=Area.CERTIFICATES, title="a certificate file cannot be read", check=certificates.unreadable),
    Rule(id="ND061", area=Area.CERTIFICATES, title="a certificate expired", check=certificates.expired),
    Rule(id="ND062", area=Area.CERTIFICATES, title="a certificate is due for renewal", check=certificates.due),
    Rule(id="ND063", area=Area.CERTIFICATES, title="a certificate is not signed by the cluster's CA", check=certificates.of_another_ca),
    Rule(id="ND064", area=Area.CERTIFICATES, title="the key beside a certificate is another's", check=certificates.another_key),
    Rule(id="ND070", area=Area.SERVICES, title="one of our ports is taken by another process", check=services.foreign_port),
    Rule(id="ND071", area=Area.SERVICES, title="nodeup failed, died, waits, or never ran", check=services.nodeup_did_not_end_well),
    Rule(id="ND072", area=Area.SERVICES, title="containerd or kubelet does not run", check=services.unit_missing),
    Rule(id="ND073", area=Area.SERVICES, title="a unit failed or is restarted again and again", check=services.unit_down),
    Rule(id="ND074", area=Area.SERVICES, title="containerd's socket does not exist", check=services.no_containerd_socket),
    Rule(id="ND075", area=Area.SERVICES, title="kubelet is not healthy", check=services.kubelet_unhealthy),
    Rule(id="ND076", area=Area.SERVICES, title="the Node object is not Ready, or has a bad condition", check=services.node_not_ready),
    *(Rule(id=line.id, area=Area.LOGS, title=f"in a journal: {line.says}", check=check_of(line)) for line in KNOWN_LINES),
)
