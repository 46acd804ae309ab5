"""Which manager leads: a lock in the control store with an epoch that only ever grows."""
