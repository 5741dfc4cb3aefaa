"""How the miniature is made, from drawn pictures to the exported folder.

Order of the steps (each is one command of ``python -m previews.miniature.recipe``)::

    prepare ─┬─> base ────┬─> refine ─> export ─> adapters ─> grids
             └─> decoder ─┘
"""
