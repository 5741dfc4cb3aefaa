"""Publishing: choosing files, uploads, the form."""
