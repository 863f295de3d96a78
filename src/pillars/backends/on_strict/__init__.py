"""array-api-strict: the standard and nothing else. It finds what is not portable; it is for tests alone."""
