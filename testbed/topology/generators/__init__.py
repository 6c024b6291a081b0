"""One file per generator: a `Parameters` model and `build(parameters, kinds, seed)`; the folder is the registry."""
