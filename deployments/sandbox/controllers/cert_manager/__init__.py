"""cert-manager's own programs beside a cluster, and what stands in for its pods: solvers, and a way to the names."""
