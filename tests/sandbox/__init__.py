"""End-to-end tests; a package, so that their platform stops when the last of them has run."""
