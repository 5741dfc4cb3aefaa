"""The Hugging Face Hub's wire protocol, for clients that have ``HF_ENDPOINT`` point here.

A repo is an adapter, a commit a revision, a branch or a tag an alias. Thin translations: what may be
seen and done is decided by the selectors and services that the API and the pages use as well.
"""
