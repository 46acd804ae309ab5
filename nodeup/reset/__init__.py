"""`nodeup reset`: a machine without what nodeup, kubelet and network plugins left on it; `steps` decides, `looking` sees, `acting` does."""
