"""The Hugging Face Hub's wire protocol, for clients with ``HF_ENDPOINT`` set to this hub.

A repo is an adapter, a commit a revision, a branch or a tag an alias. Views only translate: the
selectors and services that API and pages use check all permissions.
"""
