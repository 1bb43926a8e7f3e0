"""Argo CD in small: Applications really synced from git."""
