"""The commands: a folder for each noun, a module for each command or a few related ones."""
