"""The etcd volumes of a node: what is wanted and seen (`view`), what comes next (`phase`), looking (`observe`) and doing (`execute`)."""
