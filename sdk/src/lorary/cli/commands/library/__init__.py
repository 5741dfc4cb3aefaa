"""Commands on the library: the adapters that a project or a program keeps on this machine."""
