"""A Kubernetes control plane of upstream's own programs in a folder, and kwok in the place of its nodes' kubelets."""
