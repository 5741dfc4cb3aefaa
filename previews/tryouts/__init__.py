"""Try-outs: stacks that users render before they download anything."""
