"""One suite for both API servers; a package, so that they run no longer than it does."""
