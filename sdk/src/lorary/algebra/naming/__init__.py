"""Names of modules: how each family's namings relate, and how each target spells them."""
