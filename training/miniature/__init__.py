"""How the miniature is made, from drawn pictures to the exported folder.

Order of the steps (each is one command of ``python -m training.miniature``, and
``all`` runs them one after the other)::

    prepare ─┬─> base ────┬─> refine ─> export ─┬─> adapters ─┬─> grids
             └─> decoder ─┘                     └─> measure   └─> figures
"""
