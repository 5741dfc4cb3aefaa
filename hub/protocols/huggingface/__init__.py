"""The Hugging Face Hub's wire protocol, for clients that have ``HF_ENDPOINT`` point here.

A repo is an adapter, a commit a revision, a branch or a tag an alias. Thin translations: selectors
and services, the same that API and pages use, decide what may be seen and done.
"""
