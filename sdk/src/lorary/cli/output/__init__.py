"""The output of commands: text and tables, pages about files, progress, messages."""
