"""A package, so that nobody else's of that name is found before it (Ciw installs one beside the libraries)."""
