"""Upstream's own programs, built from published Go modules."""
