"""Controllers that make an API server without kubelets behave like a living cluster."""
