"""What commands show: text and tables, pages about files, progress, messages."""
