"""The suite's tests: a package of the root, so that no library that installs one of this name can hide it."""
