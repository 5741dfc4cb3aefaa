"""Transfers of files to and from a hub: uploads, downloads, the cache, folders of pulled files."""
